import { readdir, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";

interface Metric {
  readonly type: "counter" | "gauge" | "histogram";
  readonly name: string;
}

/** Names of pilot-agent, without the prefix, with their types and buckets. Source: istio/istio, where each is declared. */
const REFERENCE: Readonly<Record<string, readonly [type: Metric["type"], buckets?: readonly number[]]>> = {
  startup_duration_seconds: ["gauge"],
  scrapes_total: ["counter"],
  scrape_failures_total: ["counter"],
  istiod_connection_failures: ["counter"],
  istiod_connection_terminations: ["counter"],
  envoy_connection_terminations: ["counter"],
  xds_proxy_requests: ["counter"],
  xds_proxy_responses: ["counter"],
  num_outgoing_requests: ["counter"],
  num_failed_outgoing_requests: ["counter"],
  num_outgoing_retries: ["counter"],
  outgoing_latency: ["counter"],
  num_file_watcher_failures_total: ["counter"],
  num_file_secret_failures_total: ["counter"],
  cert_expiry_seconds: ["gauge"],
  dns_requests_total: ["counter"],
  dns_upstream_requests_total: ["counter"],
  dns_upstream_failures_total: ["counter"],
  dns_upstream_request_duration_seconds: ["histogram", [0.001, 0.005, 0.01, 0.1, 1, 5]],
  pilot_xds_recv_max: ["gauge"],
  pilot_xds_send_time: ["histogram", [0.01, 0.1, 1, 3, 5, 10, 20, 30]],
  pilot_xds_expired_nonce: ["counter"],
  pilot_total_xds_rejects: ["counter"],
  pilot_total_xds_internal_errors: ["counter"],
  wasm_cache_entries: ["gauge"],
  wasm_cache_lookup_count: ["counter"],
  wasm_remote_fetch_count: ["counter"],
  wasm_config_conversion_count: ["counter"],
  wasm_config_conversion_duration: ["histogram", Array.from({ length: 15 }, (_, power) => 2 ** power)],
};
/** Of the reference as well; the page says why they are not ours. */
const ABSENT = ["pilot_xds_write_timeout", "go_memstats"];

async function declared(): Promise<ReadonlyMap<string, Metric>> {
  const found = new Map<string, Metric>();
  const files = (await readdir("src", { recursive: true })).filter((file) => file.endsWith("metrics.ts"));
  for (const file of files) {
    const exported: Record<string, unknown> = await import(resolve(join("src", file)));
    for (const one of Object.values(exported)) if (isMetric(one)) found.set(one.name, one);
  }
  return found;
}

function isMetric(value: unknown): value is Metric {
  return typeof value === "object" && value !== null && "help" in value && "name" in value;
}

test("every metric of the reference is there under its name, with its type and buckets", async () => {
  const ours = await declared();
  for (const [name, [type, buckets]] of Object.entries(REFERENCE)) {
    expect(ours.get(name), name).toMatchObject({ name, type, ...(buckets && { buckets }) });
  }
});

test("the page names every metric that pilot-agent does not have, and what of it we do not", async () => {
  const page = await readFile("docs/status-port.md", "utf8");
  const own = [...(await declared()).keys()].filter((name) => !(name in REFERENCE));
  expect([...own, ...ABSENT].filter((name) => !page.includes(`\`${name}`))).toEqual([]);
});
