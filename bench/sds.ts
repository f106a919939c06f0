import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { serveAdsSource } from "./support/ads-source.ts";
import { type Form, forms } from "./support/forms.ts";
import { type Mesh, startMesh } from "./support/mesh.ts";
import { cpuSeconds, memoryMb } from "./support/proc.ts";
import { describeMachine, printTable, quantile, saveResults } from "./support/report.ts";
import { type RoleProcess, runRoles, startRole } from "./support/roles.ts";
import { type SdsClientOrders, serveSdsClient, startSdsClient } from "./support/sds-client.ts";
import { serveSdsFloor } from "./support/sds-floor.ts";

// Secrets over SDS, from the opening of a stream to its secret, of running agents that have a certificate. The floor is a
// bare server on node:http2. Servers and client are processes of their own; what is measured takes turns, so that whatever
// else the machine does meets all of it.

const RUNS = Number(process.env.BENCH_RUNS ?? 3);
const SINGLE = 300;
const FRESH = 50;
const AT_ONCE = 100;
const ROUNDS = 20;
/** Streams that stay open, for the memory of one. */
const OPEN = 1_000;
/** Rotations come at half of this, which certificates give in whole seconds. */
const CERTIFICATE_MS = 6_000;
const ROTATIONS = 3;

type Measure = "one" | "fresh" | "hundred" | "cpu" | "memory" | "rotation";

const TITLES: Readonly<Record<Measure, string>> = {
  one: "one stream, ms",
  fresh: "one stream on a new connection, ms",
  hundred: `each of ${AT_ONCE} streams at once, ms`,
  rotation: `the CA's answer to the last of ${AT_ONCE} streams, ms`,
  cpu: "processor time of a stream, µs",
  memory: "resident memory of an open stream, KB",
};
const MEASURES = Object.keys(TITLES) as Measure[];

type Samples = Record<Measure, number[]>;

interface Summary {
  readonly p50: number;
  readonly p99: number;
}

/** Its JSON. */
export interface SdsResults {
  readonly machine: string;
  readonly runs: number;
  readonly floor: string;
  readonly titles: Readonly<Record<Measure, string>>;
  readonly results: readonly ({ readonly name: string } & Readonly<Partial<Record<Measure, Summary>>>)[];
}

const FLOOR = "bare node:http2";

async function main(): Promise<void> {
  const machine = describeMachine();
  const all = forms();
  const samples = new Map([FLOOR, ...all.map(({ name }) => name)].map((name) => [name, noSamples()]));
  for (let run = 0; run < RUNS; run++) {
    await using mesh = await startMesh();
    await measureFloor(samples.get(FLOOR) ?? noSamples());
    for (const form of all) {
      await measureForm(mesh, form, samples.get(form.name) ?? noSamples());
      console.error(`run ${run + 1}: ${form.name} is measured`);
    }
  }
  await using mesh = await startMesh({ certificateMs: CERTIFICATE_MS });
  for (const form of all) await measureRotations(mesh, form, samples.get(form.name) ?? noSamples());
  report(machine, samples);
}

const noSamples = (): Samples => ({ one: [], fresh: [], hundred: [], cpu: [], memory: [], rotation: [] });

async function measureFloor(samples: Samples): Promise<void> {
  const socket = join(tmpdir(), `pb-bench-sds-${process.pid}`);
  await rm(socket, { force: true });
  using server = await startRole("floor", { socket });
  using client = await startSdsClient({ socket });
  await measure(server.pid, client, samples);
  await rm(socket, { force: true });
}

async function measureForm(mesh: Mesh, form: Form, samples: Samples): Promise<void> {
  await using agent = await mesh.startAgent(form);
  using client = await startSdsClient({ socket: agent.sdsSocket });
  await measure(agent.pid, client, samples);
}

async function measure(pid: number, client: RoleProcess<SdsClientOrders>, samples: Samples): Promise<void> {
  const open = (count: number, isFresh = false): Promise<number[]> => client.call("measure", { count, isFresh });
  for (let i = 0; i < ROUNDS; i++) await open(AT_ONCE); // warm up
  for (let i = 0; i < SINGLE; i++) samples.one.push(...(await open(1)));
  for (let i = 0; i < FRESH; i++) samples.fresh.push(...(await open(1, true)));
  const before = cpuSeconds(pid);
  for (let i = 0; i < ROUNDS; i++) samples.hundred.push(...(await open(AT_ONCE)));
  samples.cpu.push(((cpuSeconds(pid) - before) * 1e6) / (ROUNDS * AT_ONCE));
  const { rss } = memoryMb(pid);
  for (let held = 0; held < OPEN; held += AT_ONCE) await client.call("hold", AT_ONCE);
  samples.memory.push(((memoryMb(pid).rss - rss) * 1_024) / OPEN);
}

async function measureRotations(mesh: Mesh, form: Form, samples: Samples): Promise<void> {
  await using agent = await mesh.startAgent(form);
  using client = await startSdsClient({ socket: agent.sdsSocket });
  await client.call("hold", AT_ONCE);
  for (let rotation = 0; rotation < ROTATIONS; rotation++) {
    const arrivedNs = await client.call("nextOfHeld", null);
    samples.rotation.push((Math.max(...arrivedNs) - mesh.lastSignedNs()) / 1e6);
  }
}

function report(machine: string, samples: ReadonlyMap<string, Samples>): void {
  const peer = samples.get("pilot-agent");
  const cell = (name: string, measure: Measure): string => {
    const value = quantile(samples.get(name)?.[measure] ?? [], 0.5);
    const times = value / quantile(peer?.[measure] ?? [], 0.5);
    if (Number.isNaN(value)) return "–";
    return Number.isNaN(times) || name === "pilot-agent" ? digits(value) : `${digits(value)} (×${times.toFixed(2)})`;
  };
  const names = [...samples.keys()];
  console.log(`\n${machine}; p50 of ${RUNS} runs; in brackets: times pilot-agent\n`);
  printTable([
    ["", ...names],
    ...MEASURES.map((measure) => [TITLES[measure], ...names.map((name) => cell(name, measure))]),
  ]);
  const results = names.map((name) => ({ name, ...summary(samples.get(name) ?? noSamples()) }));
  const saved: SdsResults = { machine, runs: RUNS, floor: FLOOR, titles: TITLES, results };
  saveResults("sds", saved);
}

const digits = (value: number): string => value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0);

/** The page needs no thousands of single times. */
function summary(samples: Samples): Partial<Record<Measure, Summary>> {
  return Object.fromEntries(
    MEASURES.filter((measure) => samples[measure].length > 0).map((measure) => [
      measure,
      { p50: quantile(samples[measure], 0.5), p99: quantile(samples[measure], 0.99) },
    ]),
  );
}

runRoles({ source: serveAdsSource, client: serveSdsClient, floor: serveSdsFloor }, main);
