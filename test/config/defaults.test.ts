import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { type ConfigDefaults, configEntries, loadConfig } from "../../src/config/index.ts";

const DEFAULTS: ConfigDefaults = {
  source: "a command",
  variables: { PILOTBOAT_RESTART: "on-failure", SECRET_TTL: "1h", ISTIO_META_CLUSTER_ID: "here" },
  proxyConfig: {
    statusPort: 1234,
    drainDuration: "7s",
    proxyMetadata: { ISTIO_META_A: "default", ISTIO_META_B: "default" },
  },
};

async function load(words: Partial<Parameters<typeof loadConfig>[0]> = {}) {
  const { config, warnings } = await loadConfig({
    ...{ args: [], env: { POD_NAMESPACE: "ns" }, cwd: "/nowhere", defaults: [DEFAULTS] },
    ...words,
  });
  return { config, warnings, entry: (name: string) => configEntries(config).find((one) => one.name === name) };
}

test("what nobody says is what the command states, and says so", async () => {
  const { config, warnings, entry } = await load();
  expect(config.settings).toMatchObject({ restart: "on-failure", secretTtlMs: 3_600_000, clusterId: "here" });
  expect(config.proxy).toMatchObject({ statusPort: 1234, drainDuration: 7_000_000_000n });
  expect(config.metadataEnv).toContainEqual(["ISTIO_META_CLUSTER_ID", "here"]);
  for (const name of ["PILOTBOAT_RESTART", "SECRET_TTL", "statusPort", "drainDuration"]) {
    expect(entry(name)?.origin).toEqual({ source: "a command" });
  }
  expect(warnings).toEqual([]);
});

test("every source beats it, and is named", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pb-defaults-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  await mkdir(join(folder, "etc/istio/config"), { recursive: true });
  await writeFile(join(folder, "etc/istio/config/mesh"), "defaultConfig:\n  drainDuration: 8s\n");
  const env = { PROXY_CONFIG: '{"proxyMetadata": {"ISTIO_META_A": "given"}, "statusPort": 5}', SECRET_TTL: "2h" };
  const { config, entry } = await load({ cwd: folder, env, args: ["--restart", "never"] });
  expect(config.proxy).toMatchObject({ drainDuration: 8_000_000_000n, statusPort: 5 });
  expect(config.proxy.proxyMetadata).toEqual({ ISTIO_META_A: "given", ISTIO_META_B: "default" });
  expect(config.settings).toMatchObject({ restart: "never", secretTtlMs: 7_200_000 });
  expect(entry("drainDuration")?.origin.source).toBe("./etc/istio/config/mesh");
  expect(entry("statusPort")?.origin.source).toBe("PROXY_CONFIG");
  expect(entry("SECRET_TTL")?.origin).toEqual({ source: "SECRET_TTL" });
  expect(entry("PILOTBOAT_RESTART")?.origin).toEqual({ source: "--restart" });
});

test("an empty variable says nothing where there is a default, and the last default counts", async () => {
  const later = { source: "another", variables: { SECRET_TTL: "3h" } };
  const { config, entry } = await load({ env: { SECRET_TTL: "" }, defaults: [DEFAULTS, later] });
  expect(config.settings.secretTtlMs).toBe(10_800_000);
  expect(entry("SECRET_TTL")?.origin).toEqual({ source: "another" });
});

test("a default that cannot be used is told with who stated it", async () => {
  const broken = { source: "a command", proxyConfig: { statusPort: "many" } };
  await expect(load({ defaults: [broken] })).rejects.toThrow(/a command.*statusPort/);
});
