import { mkdir, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { type RunningCommand, runtimes } from "../support/pilotboat.ts";
import { createSandbox, type Sandbox } from "../support/sandbox.ts";

const FILES = ["cert-chain.pem", "key.pem", "root-cert.pem"];

let sandbox: Sandbox;
let controlPlane: RunningCommand;
beforeAll(async () => {
  const [runtime] = runtimes();
  if (runtime === undefined) throw new Error("no runtime");
  sandbox = await createSandbox(runtime);
  controlPlane = await sandbox.startControlPlane();
});
afterAll(async () => {
  await controlPlane[Symbol.asyncDispose]();
  await sandbox[Symbol.asyncDispose]();
});
beforeEach(() => mkdir(join(sandbox.folder, "certs"))); // a volume of the pod
afterEach(() => rm(join(sandbox.folder, "certs"), { recursive: true }));

// The executable is there but must not be looked for: a proxyless image has none.
const startProxyless = (env: Readonly<Record<string, string>> = {}): Promise<RunningCommand> =>
  sandbox.startProxy({
    proxyConfig: { binaryPath: "/no/such/envoy", terminationDrainDuration: "60s" },
    env: { DISABLE_ENVOY: "true", OUTPUT_CERTS: "certs", ...env },
  });

const status = (path: string, method = "GET") => fetch(`http://127.0.0.1:${sandbox.ports.status}${path}`, { method });
const untilReady = () =>
  expect
    .poll(() =>
      status("/healthz/ready").then(
        ({ status }) => status,
        () => 0,
      ),
    )
    .toBe(200);

test("without Envoy the agent fetches certificates, serves xDS, and ends with 0 without a drain", async () => {
  await using agent = await startProxyless();
  await untilReady();
  await expect.poll(() => readdir(join(sandbox.folder, "certs"))).toEqual(FILES);
  const proxyFolder = join(sandbox.folder, "etc/istio/proxy");
  expect((await stat(join(proxyFolder, "XDS"))).isSocket()).toBe(true);
  expect(await readdir(proxyFolder)).not.toContain("envoy-rev.json");
  agent.kill("SIGTERM");
  expect((await agent.ended).code).toBe(0);
});

test("POST /drain is answered with OK and changes nothing, POST /quitquitquit ends it with 0", async () => {
  await using agent = await startProxyless();
  await untilReady();
  const drained = await status("/drain", "POST");
  expect([drained.status, await drained.text()]).toEqual([200, "OK"]);
  expect((await status("/healthz/ready")).status).toBe(200);
  const quit = await status("/quitquitquit", "POST");
  expect([quit.status, await quit.text()]).toEqual([200, "OK"]);
  expect((await agent.ended).code).toBe(0);
});

test("readiness asks for the gRPC bootstrap and for the certificate files that it names", async () => {
  await using agent = await startProxyless({ CA_ADDR: "127.0.0.1:1" });
  await agent.waitFor(/Opening status port/);
  const reason = (): Promise<string> => status("/healthz/ready").then((answer) => answer.text(), String);
  await expect.poll(reason).toMatch(/certs\/cert-chain\.pem does not exist/);
  agent.kill("SIGTERM");
  expect((await agent.ended).code).toBe(0);
});

test("the merged metrics have no part of Envoy", async () => {
  await using agent = await startProxyless();
  await untilReady();
  const metrics = await (await status("/stats/prometheus")).text();
  expect(metrics).toMatch(/^istio_agent_/m);
  expect(metrics).not.toMatch(/^envoy_/m);
  expect(metrics).not.toMatch(/^istio_agent_scrape_failures_total\{type="envoy"\} [1-9]/m);
  agent.kill("SIGTERM");
  await agent.ended;
});

test("reality 40: without Envoy nothing that is said of the start speaks of one", async () => {
  await using agent = await startProxyless();
  const [start] = await agent.waitFor(/Start: .*ready \d+ ms/);
  expect(start).not.toMatch(/envoy/i);
  expect(agent.stdout()).toMatch(/Ports: \d+ status\n/);
  expect(agent.stdout()).not.toMatch(/Envoy command|Envoy spawned|Ending Envoy/);
  const report = (await (await status("/debug/agent")).json()) as { envoy: unknown; timeline: object };
  expect(report.envoy).toEqual({ kind: "disabled" });
  expect(Object.keys(report.timeline)).not.toContain("envoy spawned");
});
