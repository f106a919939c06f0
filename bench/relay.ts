import { type Received, type SinkOrders, serveAdsSink, startAdsSink } from "./support/ads-sink.ts";
import { type Pushed, type PushOrder, serveAdsSource } from "./support/ads-source.ts";
import type { Agent } from "./support/agent.ts";
import { type Form, forms } from "./support/forms.ts";
import { type Mesh, startMesh } from "./support/mesh.ts";
import { CLUSTER, ENDPOINTS } from "./support/payload.ts";
import { cpuSeconds, memoryMb, resetPeak } from "./support/proc.ts";
import { describeMachine, printTable, quantile, saveResults } from "./support/report.ts";
import { type RoleProcess, runRoles } from "./support/roles.ts";

// Configuration through the agent: source, agent and sink are processes of their own, and the floor is the same sink
// connected to the source by TLS. What is measured takes turns, so that whatever else the machine does meets all of it.

const RUNS = Number(process.env.BENCH_RUNS ?? 3);
const KB = 1e3;
const MB = 1e6;

/** One-way pushes, each sent after the ACK of the one before. */
const PUSHES = [
  { name: "1 KB", bytes: KB, warmUp: 20, count: 60, afterAckMs: 2 },
  { name: "1 MB", bytes: MB, warmUp: 10, count: 20, afterAckMs: 5 },
  { name: "10 MB", bytes: 10 * MB, warmUp: 2, count: 8, afterAckMs: 20 },
  { name: "50 MB", bytes: 50 * MB, warmUp: 1, count: 5, afterAckMs: 50 },
] as const;
const BURST = { type: ENDPOINTS, bytes: MB, count: 200 };
/** Messages for a slow reader, and its pause before each. */
const SLOW = { type: ENDPOINTS, bytes: MB, count: 100 };
const SLOW_PAUSE_MS = 50;
/** Until the memory of an agent that became ready is read. */
const SETTLE_MS = 2_000;

type Measure =
  | `push ${(typeof PUSHES)[number]["name"]}`
  | "ACK"
  | "throughput"
  | "CPU"
  | "idle"
  | "idle anonymous"
  | `peak ${"one 50 MB push" | "200 × 1 MB" | "slow reader"}`;

const UNITS: Readonly<Record<Measure, string>> = {
  ...{ "push 1 KB": "ms", "push 1 MB": "ms", "push 10 MB": "ms", "push 50 MB": "ms", ACK: "ms" },
  ...{ throughput: "MB/s", CPU: "s/GB", idle: "MB", "idle anonymous": "MB" },
  ...{ "peak one 50 MB push": "MB", "peak 200 × 1 MB": "MB", "peak slow reader": "MB" },
};
const MEASURES = Object.keys(UNITS) as Measure[];

/** Its JSON. */
export interface RelayResults {
  readonly machine: string;
  readonly runs: number;
  /** The name whose values are the base of ratios. */
  readonly floor: string;
  readonly units: Readonly<Record<Measure, string>>;
  /** The values of all runs, by measure. */
  readonly results: readonly ({ readonly name: string } & Readonly<Partial<Record<Measure, readonly number[]>>>)[];
}

/** One value for each run, by measure. */
type Samples = Map<Measure, number[]>;

const FLOOR = "direct";

async function main(): Promise<void> {
  const machine = describeMachine();
  await using mesh = await startMesh();
  const all = forms();
  const samples = new Map([FLOOR, ...all.map(({ name }) => name)].map((name): [string, Samples] => [name, new Map()]));
  const note = (name: string, measure: Measure, value: number): void => {
    const found = samples.get(name) as Samples;
    found.set(measure, [...(found.get(measure) ?? []), value]);
  };
  for (let run = 0; run < RUNS; run++) {
    await measureSpeed(mesh, undefined, (measure, value) => note(FLOOR, measure, value));
    for (const form of all) {
      await measureSpeed(mesh, form, (measure, value) => note(form.name, measure, value));
      await measureMemory(mesh, form, (measure, value) => note(form.name, measure, value));
      await measureSlowReader(mesh, form, (measure, value) => note(form.name, measure, value));
      console.error(`run ${run + 1}: ${form.name} is measured`);
    }
  }
  report(machine, samples);
}

type Note = (measure: Measure, value: number) => void;

/** A sink and, unless it is the floor, the agent between it and the source. */
interface Relay extends AsyncDisposable {
  readonly agent: Agent | undefined;
  /** Pushes, and fails unless every message arrives as it was sent. */
  push(order: PushOrder): Promise<(Pushed & Received)[]>;
}

async function connect(mesh: Mesh, form: Form | undefined, pauseMs?: number): Promise<Relay> {
  const agent = form === undefined ? undefined : await mesh.startAgent(form);
  const target = agent?.xdsSocket ?? { port: mesh.port, rootPem: mesh.rootPem };
  const stream = mesh.source.call("stream", null);
  const sink = await startAdsSink(pauseMs === undefined ? { target } : { target, pauseMs });
  await stream;
  return {
    agent,
    push: (order) => pushThrough(mesh, sink, order),
    async [Symbol.asyncDispose]() {
      sink[Symbol.dispose]();
      await agent?.[Symbol.asyncDispose]();
    },
  };
}

async function pushThrough(mesh: Mesh, sink: RoleProcess<SinkOrders>, order: PushOrder) {
  const pushed = await mesh.source.call("push", order);
  const received = new Map((await sink.call("take", null)).map((one) => [one.nonce, one]));
  return pushed.map((sent) => {
    const got = received.get(sent.nonce);
    if (got?.bytes !== sent.bytes || (got.sum !== undefined && got.sum !== sent.sum)) {
      throw new Error(`a message of ${sent.bytes} bytes arrived changed: ${JSON.stringify(got)}`);
    }
    return { ...sent, ...got, sum: sent.sum };
  });
}

async function measureSpeed(mesh: Mesh, form: Form | undefined, note: Note): Promise<void> {
  await using relay = await connect(mesh, form);
  for (const { name, bytes, warmUp, count, afterAckMs } of PUSHES) {
    await relay.push({ type: CLUSTER, bytes, count: warmUp, afterAckMs });
    const moved = await relay.push({ type: CLUSTER, bytes, count, afterAckMs });
    note(`push ${name}`, medianMs(moved.map(({ sentNs, receivedNs }) => receivedNs - sentNs)));
    if (bytes === KB) note("ACK", medianMs(moved.map(({ ackSentNs, ackedNs }) => ackedNs - ackSentNs)));
  }
  await relay.push({ ...BURST, count: 10 });
  const before = relay.agent === undefined ? 0 : cpuSeconds(relay.agent.pid);
  const moved = await relay.push(BURST);
  const tookS = ((moved.at(-1)?.receivedNs ?? 0) - (moved[0]?.sentNs ?? 0)) / 1e9;
  const bytes = moved.reduce((sum, one) => sum + one.bytes, 0);
  note("throughput", bytes / MB / tookS);
  if (relay.agent !== undefined) note("CPU", (cpuSeconds(relay.agent.pid) - before) / (bytes / 1e9));
}

const medianMs = (ns: readonly number[]): number => quantile(ns, 0.5) / 1e6;

async function measureMemory(mesh: Mesh, form: Form, note: Note): Promise<void> {
  await using relay = await connect(mesh, form);
  const pid = relay.agent?.pid ?? 0;
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  const idle = memoryMb(pid);
  note("idle", idle.rss);
  note("idle anonymous", idle.anonymous);
  const peak = async (order: PushOrder): Promise<number> => {
    resetPeak(pid);
    await relay.push(order);
    return memoryMb(pid).peak;
  };
  note("peak one 50 MB push", await peak({ type: CLUSTER, bytes: 50 * MB, count: 1 }));
  note("peak 200 × 1 MB", await peak(BURST));
}

/** How much the agent piles up. */
async function measureSlowReader(mesh: Mesh, form: Form, note: Note): Promise<void> {
  await using relay = await connect(mesh, form, SLOW_PAUSE_MS);
  resetPeak(relay.agent?.pid ?? 0);
  await relay.push(SLOW);
  note("peak slow reader", memoryMb(relay.agent?.pid ?? 0).peak);
}

function report(machine: string, samples: ReadonlyMap<string, Samples>): void {
  const middle = (name: string, measure: Measure): number => quantile(samples.get(name)?.get(measure) ?? [], 0.5);
  const cell = (name: string, measure: Measure): string => {
    const value = middle(name, measure);
    const times = value / middle(FLOOR, measure);
    if (Number.isNaN(value)) return "–";
    return name === FLOOR || Number.isNaN(times) ? digits(value) : `${digits(value)} (×${times.toFixed(2)})`;
  };
  const names = [...samples.keys()];
  console.log(`\n${machine}; delta, p50 of ${RUNS} runs; in brackets: times the direct connection\n`);
  printTable([
    ["", "unit", ...names],
    ...MEASURES.map((measure) => [measure, UNITS[measure], ...names.map((name) => cell(name, measure))]),
  ]);
  const results = names.map((name) => ({ name, ...Object.fromEntries(samples.get(name) ?? []) }));
  const saved: RelayResults = { machine, runs: RUNS, floor: FLOOR, units: UNITS, results };
  saveResults("relay", saved);
}

const digits = (value: number): string => value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0);

runRoles({ source: serveAdsSource, sink: serveAdsSink }, main);
