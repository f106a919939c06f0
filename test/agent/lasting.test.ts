import { isDeepStrictEqual } from "node:util";
import { expect, test } from "vitest";
import { createParts, plannedPorts } from "../../src/agent/parts/index.ts";
import { refuseLasting } from "../../src/agent/reload/refuse-lasting.ts";
import { startOptions } from "../../src/agent/start-envoy/options.ts";
import { createMetrics, createTimeline, silentLogger } from "../../src/base/index.ts";
import { type AgentConfig, CATALOGUE, loadConfig } from "../../src/config/index.ts";
import type { Host } from "../../src/host/index.ts";
import { PROXY_CONFIG } from "../../src/istio/mesh/index.ts";

const before = (await loadConfig({ args: ["--hot-restart"], env: {}, cwd: "/nowhere" })).config;
const never = new AbortController().signal;
const host: Host = {
  ...{ env: {}, cwd: "/nowhere", stdout: process.stdout, stderr: process.stderr },
  signals: { stop: never, hurry: never, force: never },
};
const { list } = createParts({
  config: before,
  context: { host, log: silentLogger },
  metrics: createMetrics("x_"),
  recentLines: () => [],
  timeline: createTimeline(),
  ports: plannedPorts(before),
  stop: never,
  quit: () => undefined,
});

/** Whether a reload with that configuration is applied by the next Envoy, refused (then: the words), or neither. */
function outcomeOf(after: AgentConfig): string {
  try {
    refuseLasting(before, after, list);
  } catch (error) {
    return String((error as Error).message);
  }
  return isDeepStrictEqual(startOptions(before), startOptions(after)) ? "nothing" : "applied";
}

/** What by itself changes nothing that runs, and why that is no loss; the others say so in the catalogue. */
const WITHOUT_EFFECT: Readonly<Record<string, string>> = {
  ISTIO_META_ENABLE_SELF_DISCOVERY: "it is node metadata, which is compared as such",
  JWT_POLICY: "there is one kind of token",
  PROXY_CONFIG: "its fields are compared one by one",
  ISTIO_CPU_LIMIT: "it becomes concurrency, which is compared",
  ISTIO_BOOTSTRAP_OVERRIDE: "the content of the file is compared",
};

function isWithoutEffect(row: (typeof CATALOGUE)[keyof typeof CATALOGUE]): boolean {
  return "withoutEffect" in row || WITHOUT_EFFECT[row.env] !== undefined;
}

/** Something else of the same kind. */
function other(value: unknown): unknown {
  if (typeof value === "boolean") return !value;
  if (typeof value === "number") return value + 1_000;
  if (typeof value === "bigint") return value + 1_000_000_000n;
  if (Array.isArray(value)) return [...value, "other"];
  if (typeof value === "object" && value !== null) return { ...value, other: "other" };
  return value === "other" ? "another" : "other";
}

test.each(Object.entries(CATALOGUE))(
  "the setting %s is applied by a reload, refused by name, or has no effect",
  (key, row) => {
    const { env } = row;
    const settings = {
      ...before.settings,
      [key]: OTHERS[key] ?? other(before.settings[key as keyof AgentConfig["settings"]]),
    };
    const origins = new Map([...before.origins, [env, { source: env }]]);
    const outcome = outcomeOf({ ...before, settings, origins });
    const refused = `Cannot change ${env} while the agent runs`;
    expect(["applied", refused, ...(isWithoutEffect(row) ? ["nothing"] : [])]).toContain(outcome);
  },
);

/** Where another number or word is none. */
const OTHERS: Readonly<Record<string, unknown>> = { heapLimit: { kind: "bytes", bytes: 1 }, dnsProxyAddress: "a:53" };

test.each(Object.keys(PROXY_CONFIG))(
  "the field %s is applied by a reload, refused by name, or has no effect",
  (key) => {
    const after = {
      ...before,
      proxy: { ...before.proxy, [key]: other(before.proxy[key as keyof AgentConfig["proxy"]]) },
    };
    const name = key === "proxyMetadata" ? "proxyMetadata.other" : key;
    expect(["applied", `Cannot change ${name} while the agent runs`]).toContain(outcomeOf(after));
  },
);

test.each([
  ["proxyMetadata.ISTIO_META_TLS_CLIENT_KEY", { proxyMetadata: { ISTIO_META_TLS_CLIENT_KEY: "/k" } }],
  ["discoveryAddress", { discoveryAddress: "other:15012" }],
  ["terminationDrainDuration", { terminationDrainDuration: 9_000_000_000n }],
  ["statusPort", { statusPort: 1 }],
  ["proxyAdminPort", { proxyAdminPort: 1 }],
  ["privateKeyProvider", { privateKeyProvider: { cryptomb: { pollDelay: 1n, fallback: true } } }],
  ["controlPlaneAuthPolicy", { controlPlaneAuthPolicy: "NONE" }],
  ["configPath", { configPath: "./other" }],
  ["readinessProbe", { readinessProbe: { tcpSocket: { host: "", port: 80 } } as never }],
] as const)("%s is refused by name, beside whatever else changed", (name, fields) => {
  const after = { ...before, proxy: { ...before.proxy, concurrency: 3, ...fields } as AgentConfig["proxy"] };
  expect(outcomeOf(after)).toBe(`Cannot change ${name} while the agent runs`);
});

test.each([
  ["drainDuration", { drainDuration: 300_000_000_000n }],
  ["concurrency", { concurrency: 3 }],
  ["other metadata", { proxyMetadata: { ISTIO_META_OTHER: "x" } }],
  ["a template", { proxyBootstrapTemplatePath: "/t" }],
])("%s is applied", (_, fields) => {
  expect(outcomeOf({ ...before, proxy: { ...before.proxy, ...fields } })).toBe("applied");
});

test("two that cannot change are both named", () => {
  const after = { ...before, proxy: { ...before.proxy, statusPort: 1, discoveryAddress: "other:15012" } };
  expect(outcomeOf(after)).toBe("Cannot change discoveryAddress, statusPort while the agent runs");
});
