import { once } from "node:events";
import { cp, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import type { AgentReport } from "../../src/agent/index.ts";
import { silentLogger } from "../../src/base/index.ts";
import { startControlPlane, writeCredentials } from "../../src/control-plane/index.ts";
import { silentNames, whyNoMounts } from "../support/names.ts";
import { run, runtimes, start } from "../support/pilotboat.ts";
import { freePorts } from "../support/ports.ts";
import { createSandbox, type Sandbox } from "../support/sandbox.ts";
import { createTestCa } from "../support/test-ca.ts";

type Answer = AgentReport["readiness"];

const QUICKSTART = resolve("examples/quickstart/xds");
const TOKEN = "var/run/secrets/tokens/istio-token";
const ROOT = "var/run/secrets/istio/root-cert.pem";

/** What `/healthz/ready` says, in JSON. */
async function readiness({ ports }: Sandbox): Promise<Answer | undefined> {
  const headers = { Accept: "application/json" };
  return fetch(`http://127.0.0.1:${ports.status}/healthz/ready`, { headers }).then(
    async (answer) => (await answer.json()) as Answer,
    () => undefined, // not there yet
  );
}

/** Waits until it is not ready for a cause of this kind and text; gives that. */
async function causeOf(sandbox: Sandbox, kind: string, text: RegExp) {
  const wanted = expect.objectContaining({ kind, text: expect.stringMatching(text), since: expect.any(String) });
  await expect
    .poll(() => readiness(sandbox), { timeout: 25_000 })
    .toMatchObject({
      ready: false,
      causes: expect.arrayContaining([wanted]),
    });
  const cause = (await readiness(sandbox))?.causes.find((one) => one.kind === kind);
  expect(Date.parse(cause?.since ?? "")).toBeLessThanOrEqual(Date.now());
  expect(cause?.waitedMs).toBeGreaterThanOrEqual(0);
  return cause;
}

/** Credentials, and no control plane. */
async function withCredentials(sandbox: Sandbox): Promise<void> {
  await using plane = await sandbox.startControlPlane();
  plane.kill("SIGKILL");
  await plane.ended;
}

const noMounts = whyNoMounts();

describe.each(runtimes())("why the proxy is not ready on $name", (runtime) => {
  test("connect: nobody listens; wait gives the agent's own reason", async () => {
    await using sandbox = await createSandbox(runtime);
    await withCredentials(sandbox);
    await using _agent = await sandbox.startProxy();
    const { ports, folder: cwd } = sandbox;
    const cause = await causeOf(sandbox, "connect", /ECONNREFUSED/);
    expect(cause?.text).toContain(`control plane "localhost:${ports.controlPlane}": UNAVAILABLE: connect ECONNREFUSED`);
    const env = await sandbox.proxyEnvironment({});
    const url = `--url=http://localhost:${ports.envoyStatus}/healthz/ready`;
    const waited = await run(runtime, ["wait", "--timeoutSeconds=1", url], { cwd, env });
    expect(waited.code).toBe(1);
    expect(waited.stderr).toMatch(
      /Last error: .*ECONNREFUSED .*; the agent \(port \d+\): config not received .*control plane/,
    );
  });

  test("tls: another root; auth: no token that holds; then ready", async () => {
    await using sandbox = await createSandbox(runtime);
    await using _plane = await sandbox.startControlPlane();
    const [root, token] = [join(sandbox.folder, ROOT), join(sandbox.folder, TOKEN)];
    const [goodRoot, goodToken] = await Promise.all([root, token].map((file) => readFile(file, "utf8")));
    await writeFile(root, (await createTestCa("stranger")).certPem);
    await writeFile(token, "no token");
    await using agent = await sandbox.startProxy();
    await causeOf(sandbox, "tls", /certificate/);
    await writeFile(root, goodRoot ?? "");
    await causeOf(sandbox, "auth", /UNAUTHENTICATED/);
    await writeFile(token, goodToken ?? "");
    await agent.waitFor(/\tStart: .*ready \d+ ms/);
    expect(await readiness(sandbox)).toMatchObject({ ready: true, causes: [] });
  });

  test("nack: Envoy refuses a cluster; listener: it cannot listen", async () => {
    await using sandbox = await createSandbox(runtime);
    const resources = join(sandbox.folder, "xds");
    await cp(QUICKSTART, resources, { recursive: true });
    const bad = join(resources, "bad.yaml");
    const ring = "lb_policy: RING_HASH, ring_hash_lb_config: { minimum_ring_size: 9, maximum_ring_size: 5 }";
    await writeFile(bad, `clusters: [{ name: bad, connect_timeout: 1s, type: STATIC, ${ring} }]\n`);
    await using taker = createServer().listen(sandbox.ports.outbound, "127.0.0.1");
    await once(taker, "listening");
    await using _plane = await sandbox.startControlPlane({ resources });
    await using _agent = await sandbox.startProxy();
    await causeOf(sandbox, "nack", /Envoy rejected .*Cluster: .*ring/);
    await writeFile(bad, "clusters: []\n");
    await causeOf(sandbox, "listener", new RegExp(`Envoy rejected .*Listener: .*${sandbox.ports.outbound}`));
  });

  test("the name table is awaited: the reference's phrase, and no cause", async () => {
    await using sandbox = await createSandbox(runtime);
    const { outbound, inbound, controlPlane: planePort } = sandbox.ports;
    const values = { OUTBOUND_PORT: String(outbound), INBOUND_PORT: String(inbound), APP_PORT: "1" };
    const options = { resources: QUICKSTART, port: planePort, values, log: silentLogger };
    await using plane = await startControlPlane(options, new AbortController().signal);
    plane.faults.withhold("type.googleapis.com/istio.networking.nds.v1.NameTable");
    await writeCredentials(plane, sandbox.folder, { namespace: "default", serviceAccount: "quickstart" });
    const [port] = await freePorts(1);
    const env = { ISTIO_META_DNS_CAPTURE: "true", DNS_PROXY_ADDR: `127.0.0.1:${port}` };
    await using _agent = await sandbox.startProxy({ env });
    const phrase = "istio DNS capture is turned ON and DNS lookup table is not ready yet";
    await expect
      .poll(() => readiness(sandbox), { timeout: 20_000 })
      .toMatchObject({ ready: false, reason: phrase, message: phrase, causes: [] });
  });

  test(`dns: there is no such name; no name server answers${noMounts === undefined ? "" : ` (skipped: ${noMounts})`}`, async ({
    skip,
  }) => {
    skip(noMounts !== undefined, noMounts);
    await using sandbox = await createSandbox(runtime);
    await withCredentials(sandbox);
    await using names = await silentNames();
    names.denyAll();
    const env = await sandbox.proxyEnvironment({ proxyConfig: { discoveryAddress: "istiod.nowhere.example:15012" } });
    const begin = () => start(names.inside(runtime), ["proxy", "sidecar"], { cwd: sandbox.folder, env });
    {
      await using _agent = begin();
      await causeOf(sandbox, "dns", /lookup istiod\.nowhere\.example on \S+: no such host/);
    }
    names.denyAll(false);
    await using _agent = begin();
    await causeOf(sandbox, "dns", /lookup istiod\.nowhere\.example: the name server does not answer/);
  });
});
