import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir, totalmem } from "node:os";
import { join, resolve } from "node:path";
import { startExampleService } from "../examples/quickstart/service.ts";
import { silentLogger } from "../src/base/index.ts";
import { startControlPlane, writeCredentials } from "../src/control-plane/index.ts";
import { cacheFolder } from "../src/envoy/binary/index.ts";
import { createAdminClient } from "../src/envoy/index.ts";
import { newestLts } from "../test/support/newest-lts.ts";
import type { Runtime } from "../test/support/pilotboat.ts";
import { freePorts } from "../test/support/ports.ts";
import { describeMachine } from "./support/report.ts";

// Process start to ready, step by step, for each form of the product, against two floors measured in the same run:
// an empty Node program, and Envoy alone with the static part of the same bootstrap.

const STEPS = [
  "configuration read",
  "sockets bound",
  "bootstrap written",
  "envoy spawned",
  "grpc loaded",
  "first xds request",
  "first secret sent",
  "ready",
];
const RUNS = Number(process.env.BENCH_RUNS ?? 10);

interface Sample {
  readonly steps: ReadonlyMap<string, number>;
  readonly agentRssMb: number;
  readonly envoyRssMb: number;
}

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "pb-bench-"));
  const envoy = join(cacheFolder(process.env), "envoy");
  if (!existsSync(envoy)) throw new Error('No Envoy in the cache: run "npx pilotboat envoy fetch" first');
  const [outbound = 0, inbound = 0] = await freePorts(2);
  await using service = await startExampleService();
  await using controlPlane = await startControlPlane(
    {
      resources: resolve("examples/quickstart/xds"),
      values: { OUTBOUND_PORT: String(outbound), INBOUND_PORT: String(inbound), APP_PORT: String(service.port) },
      log: silentLogger,
    },
    new AbortController().signal,
  );
  await writeCredentials(controlPlane, folder, { namespace: "default", serviceAccount: "quickstart" });

  const forms = runtimes();
  const samples = new Map(forms.map(({ name }) => [name, [] as Sample[]]));
  const floors = { node: [] as number[], envoy: [] as number[] };
  for (let round = 0; round <= RUNS; round++) {
    let bootstrap = "";
    // in the agents' environment: on Node 20 NODE_EXTRA_CA_CERTS alone, when it is set, takes 40 ms of every start
    const emptyMs = timeOf(() => spawnSync(process.execPath, ["-e", "0"], { env: { PATH: process.env.PATH } }));
    for (const form of forms) {
      const { bootstrap: last, ...sample } = await startOnce(form, folder, envoy, controlPlane.port);
      bootstrap = last;
      if (round > 0) samples.get(form.name)?.push(sample); // the first round warms the file cache
    }
    const aloneMs = await envoyAlone(folder, envoy, bootstrap);
    if (round > 0) {
      floors.node.push(emptyMs);
      floors.envoy.push(aloneMs);
    }
  }
  report(samples, floors);
  rmSync(folder, { recursive: true, force: true });
}

function runtimes(): Runtime[] {
  const bundle = resolve("dist/main.js");
  const forms: Runtime[] = [{ name: `Node ${process.versions.node}`, command: [process.execPath, bundle] }];
  const lts = newestLts();
  if (lts !== undefined) forms.push(lts);
  if (existsSync("dist/pilotboat")) forms.push({ name: "executable", command: [resolve("dist/pilotboat")] });
  return forms;
}

async function startOnce(
  form: Runtime,
  folder: string,
  envoy: string,
  controlPlanePort: number,
): Promise<Sample & { bootstrap: string }> {
  const [admin = 0, status = 0, envoyStatus = 0, prometheus = 0] = await freePorts(4);
  const proxyConfig = {
    discoveryAddress: `localhost:${controlPlanePort}`,
    binaryPath: envoy,
    proxyAdminPort: admin,
    statusPort: status,
    terminationDrainDuration: "0s",
  };
  const [file = "", ...before] = form.command;
  const startedMs = performance.timeOrigin + performance.now();
  const child = spawn(file, [...before, "proxy", "sidecar", "--log_as_json", "--log_output_level=debug"], {
    cwd: folder,
    env: {
      PATH: process.env.PATH,
      PROXY_CONFIG: JSON.stringify(proxyConfig),
      POD_NAME: "bench",
      POD_NAMESPACE: "default",
      SERVICE_ACCOUNT: "quickstart",
      INSTANCE_IP: "127.0.0.1",
      ENVOY_STATUS_PORT: String(envoyStatus),
      ENVOY_PROMETHEUS_PORT: String(prometheus),
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const lines = child.stdout.setEncoding("utf8");
  const timeline = await new Promise<{ startedMs: number; steps: Record<string, number> }>((found, fail) => {
    let text = "";
    lines.on("data", (more: string) => {
      text += more;
      const line = text.split("\n").find((one) => one.includes('"timeline":') && one.endsWith("}"));
      if (line !== undefined) found(JSON.parse(line).timeline);
    });
    child.once("close", () => fail(new Error(`${form.name} ended before it was ready:\n${text}`)));
  });
  const sample = {
    steps: new Map(Object.entries(timeline.steps).map(([step, ms]) => [step, timeline.startedMs + ms - startedMs])),
    agentRssMb: rssMb(child.pid ?? 0),
    envoyRssMb: rssMb(childOf(child.pid ?? 0)),
    bootstrap: readFileSync(join(folder, "etc/istio/proxy/envoy-rev.json"), "utf8"),
  };
  child.kill("SIGTERM");
  await new Promise((closed) => child.once("close", closed));
  return sample;
}

/** Envoy with the last run's bootstrap, without what comes from a control plane, until it says that it is live. */
async function envoyAlone(folder: string, envoy: string, bootstrap: string): Promise<number> {
  const { dynamic_resources: _, ...fixed } = JSON.parse(bootstrap);
  const file = join(folder, "alone.json");
  writeFileSync(file, JSON.stringify(fixed));
  const client = createAdminClient("127.0.0.1", fixed.admin.address.socket_address.port_value);
  const startedMs = performance.now();
  const child = spawn(envoy, ["-c", file, "--disable-hot-restart", "-l", "error"], { cwd: folder, stdio: "ignore" });
  while ((await client.get("/ready", 1_000).catch(() => "")) === "") await new Promise((next) => setTimeout(next, 2));
  const tookMs = performance.now() - startedMs;
  child.kill("SIGTERM");
  await new Promise((closed) => child.once("close", closed));
  return tookMs;
}

function report(samples: ReadonlyMap<string, readonly Sample[]>, floors: { node: number[]; envoy: number[] }): void {
  console.log(
    `\n${cpus().length} cores (${cpus()[0]?.model}), ${Math.round(totalmem() / 2 ** 30)} GiB, ${process.platform} ${process.arch}; ${RUNS} alternating runs; ms from process start: min / median / max\n`,
  );
  const names = [...samples.keys()];
  const row = (label: string, cells: readonly string[]) =>
    console.log([label.padEnd(20), ...cells.map((cell) => cell.padStart(20))].join(" "));
  row("", names);
  for (const step of STEPS) {
    row(
      step,
      names.map((name) => spread((samples.get(name) ?? []).map(({ steps }) => steps.get(step) ?? Number.NaN))),
    );
  }
  row(
    "agent RSS, MB",
    names.map((name) => spread((samples.get(name) ?? []).map(({ agentRssMb }) => agentRssMb))),
  );
  row(
    "Envoy RSS, MB",
    names.map((name) => spread((samples.get(name) ?? []).map(({ envoyRssMb }) => envoyRssMb))),
  );
  console.log();
  row("floor: node -e 0", [spread(floors.node)]);
  row("floor: Envoy alone", [spread(floors.envoy)]);
  const json = Object.fromEntries(
    [...samples].map(([name, list]) => [
      name,
      list.map(({ steps, ...rest }) => ({ ...Object.fromEntries(steps), ...rest })),
    ]),
  );
  mkdirSync("bench/results", { recursive: true });
  writeFileSync(
    "bench/results/start.json",
    `${JSON.stringify({ machine: describeMachine(), runs: RUNS, samples: json, floors }, null, 2)}\n`,
  );
}

function spread(values: readonly number[]): string {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): string => (sorted[Math.floor((sorted.length - 1) * share)] ?? Number.NaN).toFixed(0);
  return `${at(0)} / ${at(0.5)} / ${at(1)}`;
}

function rssMb(pid: number): number {
  const [, kb = "0"] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kb) / 1_024;
}

function childOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim());
}

function timeOf(work: () => void): number {
  const startedMs = performance.now();
  work();
  return performance.now() - startedMs;
}

await main();
