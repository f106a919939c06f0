import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterAll, beforeAll, expect, test } from "vitest";
import { drainOptions } from "../../src/agent/start-envoy/options.ts";
import { loadConfig } from "../../src/config/index.ts";
import { describePlan } from "../../src/envoy/supervisor/drain.ts";
import { runConfigReader } from "../../src/local/run-sidecar.ts";

const NO_BOUND = Number.POSITIVE_INFINITY;
const ZERO = { EXIT_ON_ZERO_ACTIVE_CONNECTIONS: "true" };
let cwd: string;
beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), "pb-drain-"));
});
afterAll(() => rm(cwd, { recursive: true, force: true }));

test.each([
  ["the default is the fixed time", {}, 5_000],
  ["the default is no bound for those who wait for connections", ZERO, NO_BOUND],
  ["a PROXY_CONFIG that says something else sets no bound", { ...ZERO, PROXY_CONFIG: "drainDuration: 9s" }, NO_BOUND],
  ["what somebody sets is a bound", { ...ZERO, PROXY_CONFIG: "terminationDrainDuration: 7s" }, 7_000],
  ["also when it says the same as the default", { ...ZERO, PROXY_CONFIG: "terminationDrainDuration: 5s" }, 5_000],
] as const)("reality 15: %s", async (_name, env, terminationMs) => {
  const { config } = await loadConfig({ args: [], env, cwd });
  expect(drainOptions(config)).toMatchObject({ terminationMs });
});

test("reality 15: a mesh file and an annotation are somebody, too", async () => {
  await mkdir(join(cwd, "etc/istio/config"), { recursive: true });
  await writeFile(join(cwd, "etc/istio/config/mesh"), "defaultConfig: { terminationDrainDuration: 8s }");
  const { config } = await loadConfig({ args: [], env: ZERO, cwd });
  expect(drainOptions(config)).toMatchObject({ terminationMs: 8_000 });
  await rm(join(cwd, "etc"), { recursive: true });
});

test("reality 15: where run itself asks to wait for connections, the default bounds it; where somebody does, not", async () => {
  const never = new AbortController().signal;
  const streams = { stdout: new PassThrough(), stderr: new PassThrough() };
  const host = { cwd, ...streams, signals: { stop: never, hurry: never, force: never } };
  const boundOf = async (env: Readonly<Record<string, string>>): Promise<number> =>
    drainOptions((await (await runConfigReader([], { ...host, env }))()).config).terminationMs;
  const pod = { KUBERNETES_SERVICE_HOST: "10.0.0.1" };
  expect(await Promise.all([{}, pod, ZERO, { ...ZERO, ...pod }].map(boundOf))).toEqual([
    5_000,
    5_000,
    NO_BOUND,
    NO_BOUND,
  ]);
});

test("reality 15: the plan that is logged names no bound where there is none", async () => {
  const { config } = await loadConfig({ args: [], env: ZERO, cwd });
  expect(describePlan(drainOptions(config))).toBe(
    "drain inbound listeners, wait 5000 ms, then until no connection is open, end Envoy",
  );
});

test("reality 15: a variable that is there and empty leaves run its own default", async () => {
  const never = new AbortController().signal;
  const streams = { stdout: new PassThrough(), stderr: new PassThrough() };
  const host = { cwd, ...streams, signals: { stop: never, hurry: never, force: never } };
  const names = [
    "EXIT_ON_ZERO_ACTIVE_CONNECTIONS",
    "PILOTBOAT_RESTART",
    "PILOTBOAT_WATCHDOG",
    "MINIMUM_DRAIN_DURATION",
  ];
  const ports = ["ENVOY_STATUS_PORT", "ENVOY_PROMETHEUS_PORT"];
  const env = Object.fromEntries([...names, ...ports].map((name) => [name, ""]));
  const { config, warnings } = await (await runConfigReader([], { ...host, env }))();
  expect(warnings.filter(({ name }) => name in env)).toEqual([]);
  expect(config.settings).toMatchObject({ isExitOnZeroConnections: true, restart: "on-failure", minDrainMs: 0 });
  expect([15_021, 15_090]).not.toContain(config.settings.envoyStatusPort);
  expect(drainOptions(config).terminationMs).toBe(5_000);
});
