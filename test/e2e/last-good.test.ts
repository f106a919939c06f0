import { mkdir, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type RunningCommand, run, runtimes } from "../support/pilotboat.ts";
import { createSandbox, type Sandbox } from "../support/sandbox.ts";

const TEST_LIMIT_MS = 120_000;
const WAIT = { timeout: 60_000, interval: 200 };

/** The first agent leaves its certificate in `./etc/certs`, where another one finds it. */
const WRITES_CERTIFICATE = { OUTPUT_CERTS: "./etc/certs" };

describe.each(runtimes())("a control plane that is away, on $name", { timeout: TEST_LIMIT_MS }, (runtime) => {
  let sandbox: Sandbox;
  let plane: RunningCommand;
  let agent: RunningCommand;
  beforeAll(async () => {
    sandbox = await createSandbox(runtime);
    await mkdir(join(sandbox.folder, "etc/certs"), { recursive: true });
    plane = await sandbox.startControlPlane();
    agent = await startAgent(WRITES_CERTIFICATE);
  }, TEST_LIMIT_MS);
  afterAll(async () => {
    await agent?.[Symbol.asyncDispose]();
    await plane?.[Symbol.asyncDispose]();
    await sandbox?.[Symbol.asyncDispose]();
  });

  const startAgent = (more: Record<string, string> = {}) => {
    const kept = { PILOTBOAT_LAST_GOOD: "true", PILOTBOAT_LAST_GOOD_FOLDER: join(sandbox.folder, "kept") };
    return sandbox.startProxy({ env: { ...kept, PILOTBOAT_RESTART: "on-failure", ...more } });
  };
  /** Through the sidecar and back. */
  const answer = (): Promise<number> =>
    fetch(`http://127.0.0.1:${sandbox.ports.outbound}/`, { headers: { connection: "close" } }).then(
      (one) => one.status,
      () => 0,
    );
  const readiness = () =>
    fetch(`http://127.0.0.1:${sandbox.ports.status}/healthz/ready`, { headers: { connection: "close" } }).then(
      async (one) => ({ status: one.status, text: await one.text() }),
      () => ({ status: 0, text: "" }),
    );
  const shown = async (): Promise<string> => (await run(runtime, ["status", sandbox.folder])).stdout;
  const metric = async (): Promise<string | undefined> => {
    const text = await (await fetch(`http://127.0.0.1:${sandbox.ports.status}/metrics`)).text();
    return /^istio_agent_xds_last_good_served (\d)$/m.exec(text)?.[1];
  };
  const page = async (): Promise<string> => (await fetch(`http://127.0.0.1:${sandbox.ports.status}/`)).text();
  const stopPlane = async (): Promise<void> => {
    plane.kill("SIGTERM");
    await plane.ended;
  };
  const envoyPid = async (): Promise<number> => {
    const found = await run(runtime, ["status", sandbox.folder, "-o", "json"]);
    return JSON.parse(found.stdout).envoy.child.pid;
  };

  const expectStale = async (): Promise<void> => {
    await expect.poll(async () => (await readiness()).status, WAIT).toBe(200);
    await expect.poll(answer, WAIT).toBe(200);
    expect((await readiness()).text).toMatch(
      /^stale: Envoy has the last configuration that it accepted, of \d{4}-.*; control plane "localhost:\d+": UNAVAILABLE: .*ECONNREFUSED/,
    );
    expect(await shown()).toMatch(
      /^stale +Envoy has the last configuration that it accepted \(accepted .* ago, served for /m,
    );
    expect(await metric()).toBe("1");
    expect(await page()).toMatch(/<li>Stale: Envoy has the last configuration that it accepted \(accepted /);
    expect(agent.stdout().split("Envoy gets the last configuration that it accepted")).toHaveLength(2);
  };
  const expectFresh = async (): Promise<void> => {
    await agent.waitFor(/Envoy's configuration is up to date again/);
    await expect.poll(readiness, WAIT).toEqual({ status: 200, text: "" });
    expect(await shown()).not.toMatch(/^stale/m);
    expect(await metric()).toBe("0");
    await expect.poll(page, WAIT).not.toContain("Stale: ");
    expect(await answer()).toBe(200);
  };

  test("the configuration lies on disk, for this user alone", async () => {
    await expect.poll(readiness, WAIT).toEqual({ status: 200, text: "" });
    await expect.poll(answer, WAIT).toBe(200);
    const folder = join(sandbox.folder, "kept");
    await expect.poll(() => readdir(folder), WAIT).toEqual([expect.stringMatching(/^[0-9a-f]{16}\.log$/)]);
    expect((await stat(folder)).mode & 0o7777).toBe(0o700);
    expect((await stat(join(folder, (await readdir(folder))[0] ?? ""))).mode & 0o7777).toBe(0o600);
  });

  test("costs nothing when Envoy is killed: the next one serves what the last one had, and says so", async () => {
    await stopPlane();
    process.kill(await envoyPid(), "SIGKILL");
    await expectStale();
    plane = await sandbox.startControlPlane();
    await expectFresh();
  });

  test("costs nothing when the whole agent is killed, where the certificate is in files", async () => {
    await stopPlane();
    agent.kill("SIGKILL");
    await agent.ended;
    agent = await startAgent();
    await expectStale();
    plane = await sandbox.startControlPlane();
    await expectFresh();
    agent.kill("SIGTERM");
    expect((await agent.ended).code).toBe(0);
  });
});
