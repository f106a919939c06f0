import { copyFile, mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { CLUSTER_FILES, cachedCluster } from "../test/cluster/binaries.ts";
import { type Cluster, enterCluster } from "../test/cluster/enter-cluster.ts";
import { startMeshProxy } from "../test/cluster/mesh-proxy.ts";
import { runCluster } from "../test/cluster/run-cluster.ts";
import { podAddress, scene } from "../test/cluster/scene.ts";
import { type Runtime, runtimes } from "../test/support/pilotboat.ts";
import { freePorts } from "../test/support/ports.ts";
import { GIVE_UP_MS, nextMillisecond } from "./support/ask.ts";
import { timeLoneStart } from "./support/lone-envoy.ts";
import { describeMachine, printTable, quantile, saveResults } from "./support/report.ts";

// Process start to ready as a sidecar of a real istiod, beside Istio's own pilot-agent, which gets the same words, and an
// Envoy alone with what the bootstrap says and no control plane. Alternating, in one run.

const RUNS = Number(process.env.BENCH_RUNS ?? 10);
/** Those of the test cluster are compiled without optimisations; another one may be named. */
const PILOT_AGENT = process.env.BENCH_PILOT_AGENT;

/** Upstream's Envoy is not ready with filters that only Istio's has, and pilot-agent leaves none out. */
const STOCK_ENVOY = {
  env: { PILOT_ENABLE_ALPN_FILTER: "false", PILOT_ENABLE_METADATA_EXCHANGE: "false" },
  mesh: {
    defaultProviders: {}, // no metrics, and so no stats filter
    accessLogFile: "", // under pilot-agent Envoy would open our socket by name, and cannot
  },
};

/** Where pilot-agent looks for the bootstrap that it fills in, in its working directory. */
const TEMPLATE = "var/lib/istio/envoy/envoy_bootstrap_tmpl.json";

async function main(): Promise<void> {
  const bin = cachedCluster();
  if (bin === undefined) throw new Error('istiod is not built here: run "npm run test:cluster" first');
  const machine = describeMachine();
  const folder = await mkdtemp(join(tmpdir(), "pb-bench-istiod-"));
  try {
    await using running = await runCluster(bin, join(folder, "cluster"), STOCK_ENVOY);
    await using cluster = await enterCluster(running.addresses);
    const [service = 0, gateway = 0, app = 0] = await freePorts(3);
    for (const object of scene(cluster.namespace, { service, gateway, app })) await cluster.apply(object);
    report(machine, await measure(bin, folder, cluster));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Milliseconds by the name of a form. */
type Samples = ReadonlyMap<string, readonly number[]>;

const FLOOR = "Envoy alone";

async function measure(bin: string, folder: string, cluster: Cluster): Promise<Samples> {
  const agent = PILOT_AGENT ?? join(bin, CLUSTER_FILES.pilotAgent);
  const note = PILOT_AGENT === undefined ? "pilot-agent, compiled without optimisations" : "pilot-agent";
  const forms: readonly Runtime[] = [...runtimes(), { name: note, command: [agent] }];
  const address = await podAddress(cluster, "client");
  const samples = new Map([...forms.map(({ name }) => name), FLOOR].map((name) => [name, [] as number[]]));
  for (let round = 0; round <= RUNS; round++) {
    for (const [at, form] of forms.entries()) {
      const place = join(folder, `form-${at}`);
      await mkdir(dirname(join(place, TEMPLATE)), { recursive: true });
      await copyFile(join(bin, CLUSTER_FILES.bootstrapTemplate), join(place, TEMPLATE));
      const { tookMs, bootstrap } = await startOnce(form, cluster, place, address);
      const aloneMs = at === 0 ? await timeLoneStart(bootstrap) : undefined;
      if (round === 0) continue; // the first round warms the file cache
      samples.get(form.name)?.push(tookMs);
      if (aloneMs !== undefined) samples.get(FLOOR)?.push(aloneMs);
    }
  }
  return samples;
}

interface Started {
  readonly tookMs: number;
  /** What Envoy was started with. */
  readonly bootstrap: string;
}

async function startOnce(form: Runtime, cluster: Cluster, folder: string, address: string): Promise<Started> {
  await cluster.writeCredentials(folder, "client");
  const env = { PILOTBOAT_STOCK_ENVOY: "refuse" }; // the same bytes for everybody
  const workload = { folder, account: "client", pod: "client", labels: { app: "client" }, address, env };
  const startedMs = performance.now();
  await using proxy = await startMeshProxy(form, cluster, { ...workload, hasCredentials: true });
  await until(
    async () => (await proxy.readyStatus()) === 200,
    form.name,
    () => proxy.command.stdout(),
  );
  const tookMs = performance.now() - startedMs;
  const bootstrap = await readFile(join(proxy.folder, "proxy/envoy-rev.json"), "utf8");
  proxy.command.kill("SIGTERM");
  await proxy.command.ended;
  return { tookMs, bootstrap };
}

/** Characters of what a program printed last. */
const LAST_WORDS = 4_000;

async function until(isReached: () => Promise<boolean>, name: string, output: () => string): Promise<void> {
  const limitMs = performance.now() + GIVE_UP_MS;
  while (!(await isReached())) {
    if (performance.now() > limitMs) {
      throw new Error(`${name} is not ready within the limit:\n${output().slice(-LAST_WORDS)}`);
    }
    await nextMillisecond();
  }
}

function report(machine: string, samples: Samples): void {
  console.log(`\n${machine}; ${RUNS} alternating runs`);
  console.log("istiod without its ALPN, metadata exchange and stats filters, which upstream's Envoy does not have\n");
  const cells = (values: readonly number[]): string[] => [0, 0.5, 1].map((share) => quantile(values, share).toFixed(0));
  const rows = [...samples].map(([name, values]) => [name, ...cells(values)]);
  printTable([["process start to ready, ms", "min", "median", "max"], ...rows]);
  saveResults("istiod", { machine, runs: RUNS, samples: Object.fromEntries(samples) });
}

await main();
