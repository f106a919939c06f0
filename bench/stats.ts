import { type ChildProcess, fork } from "node:child_process";
import { get } from "node:http";
import { startVictim, type Victim } from "../test/security/rig.ts";
import { type Runtime, runtimes } from "../test/support/pilotboat.ts";
import { freePorts } from "../test/support/ports.ts";
import { memoryMb, resetPeak, threadSeconds } from "./support/proc.ts";
import { describeMachine, printTable, quantile, saveResults } from "./support/report.ts";
import { APPLICATION_MB, type SourcePorts, serveSources } from "./support/stats-sources.ts";

// A merged scrape of the running product, against a floor: the same client fetches both sources itself, at once. Sources,
// agent and client are processes of their own; the sizes and the floor take turns, so that whatever else the machine does
// meets all of them.

const RUNS = Number(process.env.BENCH_RUNS ?? 20);
const SIZES_MB = [1, 10, 50] as const;
const ENCODINGS = ["plain", "gzip"] as const;
const WARM_UP = 3;

type Encoding = (typeof ENCODINGS)[number];

/** The gzip times are pilot-agent's on two shared cores, and so is the processor time. */
const AIM = {
  overFloor: 2,
  gzipMs: { 1: 7.1, 10: 33, 50: 129 },
  cpuSecondsPerGb: { plain: 0.9, gzip: 2.4 },
  firstByteMs: 3,
  rssMb: 8,
} as const;

/** One fetch, from the request to the last byte. */
interface Fetched {
  readonly totalMs: number;
  readonly firstByteMs: number;
}

interface Row {
  readonly mb: (typeof SIZES_MB)[number];
  readonly encoding: Encoding;
  readonly fetched: Fetched[];
  cpuSeconds: number;
  /** The most that the process had, above what it had after the warm-up, in which the heap finds its size. */
  rssMb: number;
}

interface Measured {
  readonly name: string;
  readonly rows: readonly Row[];
}

async function main(): Promise<void> {
  const machine = describeMachine();
  const [application = 0] = await freePorts(1);
  const floor = rowsOf(["plain"]);
  const measured: Measured[] = [];
  for (const form of runtimes()) measured.push(await measure(form, application, floor));
  report(machine, floor, measured);
}

const rowsOf = (encodings: readonly Encoding[]): Row[] =>
  SIZES_MB.flatMap((mb) => encodings.map((encoding) => ({ mb, encoding, fetched: [], cpuSeconds: 0, rssMb: 0 })));

async function measure(form: Runtime, application: number, floor: readonly Row[]): Promise<Measured> {
  const annotations = JSON.stringify({ scrape: "true", port: String(application) });
  await using victim = await startVictim(form, { env: { ISTIO_PROMETHEUS_ANNOTATIONS: annotations } });
  const ports = { envoy: victim.sandbox.ports.prometheus, application };
  using _sources = await startSources(ports);
  const rows = rowsOf(ENCODINGS);
  for (let round = 0; round < WARM_UP; round++) {
    for (const { mb, encoding } of rows) await scrape(victim, mb, encoding);
    for (const { mb } of floor) await fetchBoth(ports, mb);
  }
  const restMb = memoryMb(victim.agent.pid).rss;
  for (let round = 0; round < RUNS; round++) {
    for (const row of floor) row.fetched.push(await fetchBoth(ports, row.mb));
    for (const row of rows) await measureOnce(victim, row, restMb);
  }
  return { name: form.name, rows };
}

async function measureOnce(victim: Victim, row: Row, restMb: number): Promise<void> {
  const { pid } = victim.agent;
  resetPeak(pid);
  const before = threadSeconds(pid);
  row.fetched.push(await scrape(victim, row.mb, row.encoding));
  row.cpuSeconds += threadSeconds(pid) - before;
  row.rssMb = Math.max(row.rssMb, memoryMb(pid).peak - restMb);
}

const scrape = ({ sandbox }: Victim, mb: number, encoding: Encoding): Promise<Fetched> =>
  fetchOnce(
    sandbox.ports.status,
    `/stats/prometheus?mb=${mb}`,
    encoding,
    encoding === "plain" ? mb + APPLICATION_MB : 0,
  );

/** As the agent could: both at once, and both to their ends. */
async function fetchBoth({ envoy, application }: SourcePorts, mb: number): Promise<Fetched> {
  const [first, second] = await Promise.all([
    fetchOnce(envoy, `/stats/prometheus?mb=${mb}`, "plain", mb),
    fetchOnce(application, "/metrics", "plain", APPLICATION_MB),
  ]);
  return {
    totalMs: Math.max(first.totalMs, second.totalMs),
    firstByteMs: Math.min(first.firstByteMs, second.firstByteMs),
  };
}

/** Rejects when fewer than `leastMb` come: a scrape without one of its parts is fast. */
function fetchOnce(port: number, path: string, encoding: Encoding, leastMb: number): Promise<Fetched> {
  const startMs = performance.now();
  const headers = encoding === "plain" ? {} : { "Accept-Encoding": encoding };
  return new Promise((resolve, reject) => {
    get({ host: "127.0.0.1", port, path, headers, agent: false }, (response) => {
      let firstByteMs = 0;
      let bytes = 0;
      response.on("data", (piece: Buffer) => {
        if (bytes === 0) firstByteMs = performance.now() - startMs;
        bytes += piece.length;
      });
      response.on("end", () => {
        if (bytes < leastMb * 1e6) reject(new Error(`${path} gave ${bytes} bytes, wanted ${leastMb} MB`));
        else resolve({ totalMs: performance.now() - startMs, firstByteMs });
      });
      response.on("error", reject);
    }).on("error", reject);
  });
}

async function startSources(ports: SourcePorts): Promise<Disposable> {
  const child = fork(process.argv[1] ?? "", ["--sources", JSON.stringify(ports)]);
  await new Promise<void>((resolve, reject) => {
    child.once("message", () => resolve()).once("exit", (code) => reject(new Error(`the sources ended with ${code}`)));
  });
  return { [Symbol.dispose]: () => void (child as ChildProcess).removeAllListeners("exit").kill() };
}

function report(machine: string, floor: readonly Row[], measured: readonly Measured[]): void {
  console.log(`\n${machine}; ${RUNS} runs of each, p50 (first byte: p90; RSS: most)\n`);
  const table: string[][] = [["Envoy + 1 MB", "total ms", "aim", "first byte ms", "CPU s/GB", "RSS +MB"]];
  for (const { mb, fetched } of floor) {
    table.push([`${mb} MB, floor`, middle(fetched).toFixed(1), "", firstByte(fetched).toFixed(1), "", ""]);
  }
  const results = measured.flatMap(({ name, rows }) => rows.map((row) => ({ name, ...figures(row, floor) })));
  for (const one of results) {
    table.push([
      `${one.mb} MB, ${one.encoding}, ${one.name}`,
      ...[one.totalMs.toFixed(1), one.aimMs.toFixed(1), one.firstByteMs.toFixed(1)],
      ...[one.cpuSecondsPerGb.toFixed(2), one.rssMb.toFixed(1)],
    ]);
  }
  printTable(table);
  console.log();
  for (const one of results)
    for (const missed of misses(one)) console.log(`${one.name}, ${one.mb} MB ${one.encoding}: ${missed}`);
  const floors = floor.map(({ mb, fetched }) => ({ mb, totalMs: middle(fetched), firstByteMs: firstByte(fetched) }));
  saveResults("stats", { machine, runs: RUNS, floors, results });
}

const middle = (fetched: readonly Fetched[]): number =>
  quantile(
    fetched.map((one) => one.totalMs),
    0.5,
  );
const firstByte = (fetched: readonly Fetched[]): number =>
  quantile(
    fetched.map((one) => one.firstByteMs),
    0.9,
  );

function figures({ mb, encoding, fetched, cpuSeconds: spent, rssMb }: Row, floor: readonly Row[]) {
  const alone = floor.find((row) => row.mb === mb)?.fetched ?? [];
  const aimMs = encoding === "gzip" ? AIM.gzipMs[mb] : AIM.overFloor * middle(alone);
  const gigabytes = (fetched.length * (mb + APPLICATION_MB)) / 1_000;
  return {
    ...{ mb, encoding, aimMs, rssMb, cpuSecondsPerGb: spent / gigabytes },
    ...{ totalMs: middle(fetched), firstByteMs: firstByte(fetched) },
  };
}

function misses({ encoding, ...one }: ReturnType<typeof figures>): string[] {
  const aims = [
    ["total", one.totalMs, one.aimMs, "ms"],
    ["first byte", one.firstByteMs, AIM.firstByteMs, "ms"],
    ["processor time", one.cpuSecondsPerGb, AIM.cpuSecondsPerGb[encoding], "s/GB"],
    ["memory", one.rssMb, AIM.rssMb, "MB"],
  ] as const;
  return aims.flatMap(([name, value, aim, unit]) =>
    value <= aim ? [] : [`${name} misses the aim: ${value.toFixed(1)} of ${aim.toFixed(1)} ${unit}`],
  );
}

const [, , mode, ports = ""] = process.argv;
void (mode === "--sources" ? serveSources(JSON.parse(ports)) : main()).catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
