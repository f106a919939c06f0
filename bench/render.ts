import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { lookAtNode } from "../src/agent/start-envoy/index.ts";
import { bootstrapOptions } from "../src/agent/start-envoy/options.ts";
import { silentLogger } from "../src/base/index.ts";
import { renderBootstrap, writeBootstrap } from "../src/bootstrap/index.ts";
import { loadConfig } from "../src/config/index.ts";

// Words to a bootstrap on disk: the first time in a process, and warm; the floor is JSON.parse of the same document.

const RUNS = Number(process.env.BENCH_RUNS ?? 200);
const folder = mkdtempSync(join(tmpdir(), "pb-bench-"));
const env = {
  POD_NAME: "web-0",
  POD_NAMESPACE: "shop",
  SERVICE_ACCOUNT: "web",
  INSTANCE_IP: "10.0.0.1",
  PROXY_CONFIG: JSON.stringify({ discoveryAddress: "istiod:15012", tracing: { zipkin: { address: "zipkin:9411" } } }),
  ISTIO_METAJSON_LABELS: '{"app":"web"}',
};

async function once(): Promise<number> {
  const startedMs = performance.now();
  const { config } = await loadConfig({ args: ["sidecar"], env, cwd: folder });
  const node = await lookAtNode(config, silentLogger, new AbortController().signal);
  const { document } = renderBootstrap(bootstrapOptions(config), node);
  await writeBootstrap({ proxy: config.proxy, cwd: folder }, document);
  return performance.now() - startedMs;
}

function parse(text: string): number {
  const startedMs = performance.now();
  JSON.parse(text);
  return performance.now() - startedMs;
}

const cold = await once();
const warm: number[] = [];
for (let run = 0; run < RUNS; run++) warm.push(await once());
const text = readFileSync(join(folder, "etc/istio/proxy/envoy-rev.json"), "utf8");
const floor = Array.from({ length: RUNS }, () => parse(text));
const spread = (values: number[]): string => {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): string => (sorted[Math.floor((sorted.length - 1) * share)] ?? Number.NaN).toFixed(2);
  return `${at(0)} / ${at(0.5)} / ${at(0.99)}`;
};
console.log(`${cpus().length} cores (${cpus()[0]?.model}), Node ${process.versions.node}, ${text.length} bytes; ms\n`);
console.log(`words to bootstrap on disk, cold     ${cold.toFixed(2)}`);
console.log(`the same, warm: min / median / p99   ${spread(warm)}`);
console.log(`floor, JSON.parse of it              ${spread(floor)}`);
rmSync(folder, { recursive: true, force: true });
