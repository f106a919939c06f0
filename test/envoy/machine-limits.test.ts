import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { heapLimit, threadsByQuota } from "../../src/agent/start-envoy/machine-limits.ts";
import { loadConfig } from "../../src/config/index.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-limits-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function configOf(env: Readonly<Record<string, string>>, args: readonly string[] = []) {
  return loadConfig({ args, env, cwd: folder });
}

const UNKNOWN = { cpus: undefined, memoryBytes: undefined };

test.each([
  ["a quota below the machine's CPUs", {}, 1.5, 2],
  ["a quota of the whole machine", {}, 4, undefined],
  ["a quota beyond the machine", {}, 9, undefined],
  ["no quota", {}, undefined, undefined],
  ["a CPU limit that was told", { ISTIO_CPU_LIMIT: "3" }, 1.5, undefined],
  ["a CPU limit of 0, which is none", { ISTIO_CPU_LIMIT: "0" }, 1.5, 2],
  ["a concurrency of 0, which is all CPUs on purpose", { PROXY_CONFIG: "concurrency: 0" }, 1.5, undefined],
])("worker threads with %s", async (_what, env, cpus, threads) => {
  const { config } = await configOf(env);
  expect(threadsByQuota(config, { ...UNKNOWN, cpus }, 4)).toBe(threads);
});

test("a number on the command line beats the quota", async () => {
  const { config } = await configOf({}, ["--concurrency", "3"]);
  expect(threadsByQuota(config, { ...UNKNOWN, cpus: 1 }, 4)).toBeUndefined();
});

test.each([
  ["", undefined],
  ["80%", 838_860_800],
  ["100%", 1_048_576_000],
  ["512Mi", 536_870_912],
  ["2Gi", 2_147_483_648],
  ["1000", 1_000],
])("PILOTBOAT_HEAP_LIMIT=%j is %s bytes where 1000 Mi are allowed", async (text, bytes) => {
  const { config, warnings } = await configOf({ PILOTBOAT_HEAP_LIMIT: text });
  expect(heapLimit(config, { ...UNKNOWN, memoryBytes: 1_048_576_000 })).toEqual({ bytes, warnings: [] });
  expect(warnings.filter(({ name }) => name === "PILOTBOAT_HEAP_LIMIT")).toEqual([]);
});

test("a share of no limit is a warning and no limit", async () => {
  const { config } = await configOf({ PILOTBOAT_HEAP_LIMIT: "80%" });
  expect(heapLimit(config, UNKNOWN)).toEqual({
    bytes: undefined,
    warnings: ["PILOTBOAT_HEAP_LIMIT is 80%, but no cgroup limits the memory: Envoy's heap has no limit"],
  });
});

test.each(["0", "0%", "101%", "12x", "-5Mi", "half"])("PILOTBOAT_HEAP_LIMIT=%j is a warning", async (text) => {
  const { config, warnings } = await configOf({ PILOTBOAT_HEAP_LIMIT: text });
  expect(config.settings.heapLimit).toEqual({ kind: "off" });
  expect(warnings.map(({ message }) => message)).toContain(
    `Invalid environment variable value \`${text}\`, expecting a percentage such as "80%", or bytes such as "512Mi", defaulting to `,
  );
});
