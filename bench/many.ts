import { availableParallelism } from "node:os";
import { realEnvoy } from "../test/support/real-envoy.ts";
import { serveAdsSinks } from "./support/ads-sink.ts";
import { serveAdsSource } from "./support/ads-source.ts";
import type { Agent } from "./support/agent.ts";
import { pause } from "./support/ask.ts";
import { type Form, forms } from "./support/forms.ts";
import { type Mesh, startMesh } from "./support/mesh.ts";
import { CLUSTER } from "./support/payload.ts";
import { cpuSeconds, memoryMb, proportionalMb } from "./support/proc.ts";
import { describeMachine, printTable, saveResults } from "./support/report.ts";
import { runRoles, startRole } from "./support/roles.ts";

// Many agents on one machine, as on a node of a cluster: what each costs while nothing happens, and while the control
// plane pushes to all of them. A few have a real Envoy, the others a small program in its place.

const AGENTS = Number(process.env.BENCH_AGENTS ?? 50);
const WITH_REAL_ENVOY = 5;
const SECONDS = Number(process.env.BENCH_SECONDS ?? 15);
const SETTLE_MS = 3_000;
/** To each agent, once a second. */
const PUSH = { type: CLUSTER, bytes: 10_000 };

/** Means of one agent, without its Envoy; memory in MB. */
interface Result {
  readonly name: string;
  readonly rss: number;
  readonly anonymous: number;
  /** With each shared page divided among its users: 50 times this is what 50 agents take. */
  readonly proportional: number;
  /** Per cent of a core. */
  readonly idlePercent: number;
  readonly pushedPercent: number;
  readonly rssAfterPushes: number;
}

/** Its JSON. */
export interface ManyResults {
  readonly machine: string;
  readonly agents: number;
  readonly withRealEnvoy: number;
  /** Of each phase. */
  readonly seconds: number;
  readonly results: readonly Result[];
}

async function main(): Promise<void> {
  const machine = describeMachine();
  const results: Result[] = [];
  for (const form of forms()) {
    results.push(await measure(form));
    console.error(`${form.name} is measured`);
  }
  report(machine, results);
}

async function measure(form: Form): Promise<Result> {
  await using mesh = await startMesh();
  await using running = await startAgents(mesh, form);
  const { agents } = running;
  const targets = agents.filter(({ hasRealEnvoy }) => !hasRealEnvoy).map(({ xdsSocket }) => xdsSocket);
  using _sinks = await startRole("sinks", { targets });
  await pause(SETTLE_MS);
  const idlePercent = await cpuPercent(agents, () => pause(SECONDS * 1_000));
  const mean = meanOf(agents);
  const memory = {
    rss: mean((pid) => memoryMb(pid).rss),
    anonymous: mean((pid) => memoryMb(pid).anonymous),
    proportional: mean(proportionalMb),
  };
  const pushedPercent = await cpuPercent(agents, async () => {
    for (let second = 0; second < SECONDS; second++) {
      const [reached] = await Promise.all([mesh.source.call("pushAll", PUSH), pause(1_000)]);
      if (reached !== agents.length) throw new Error(`${reached} of ${agents.length} agents have a stream`);
    }
  });
  return { name: form.name, ...memory, idlePercent, pushedPercent, rssAfterPushes: mean((pid) => memoryMb(pid).rss) };
}

interface OneOfMany extends Agent {
  readonly hasRealEnvoy: boolean;
}

interface Agents extends AsyncDisposable {
  readonly agents: readonly OneOfMany[];
}

/** As many at a time as there are processors, those with a real Envoy first. */
async function startAgents(mesh: Mesh, form: Form): Promise<Agents> {
  const envoy = await realEnvoy();
  const agents: OneOfMany[] = [];
  let begun = 0;
  const startSome = async (): Promise<void> => {
    while (begun < AGENTS) {
      begun++;
      const hasRealEnvoy = begun <= WITH_REAL_ENVOY;
      agents.push({ ...(await mesh.startAgent(form, hasRealEnvoy ? { envoy } : {})), hasRealEnvoy });
    }
  };
  const end = async (): Promise<void> => {
    await Promise.all(agents.map((agent) => agent[Symbol.asyncDispose]()));
  };
  try {
    await Promise.all(Array.from({ length: availableParallelism() }, startSome));
  } catch (error) {
    await end();
    throw error;
  }
  return { agents, [Symbol.asyncDispose]: end };
}

const meanOf =
  (agents: readonly Agent[]) =>
  (value: (pid: number) => number): number =>
    agents.reduce((sum, { pid }) => sum + value(pid), 0) / agents.length;

/** Of a core and one agent, while something happens. */
async function cpuPercent(agents: readonly Agent[], happens: () => Promise<void>): Promise<number> {
  const mean = meanOf(agents);
  const [startedMs, before] = [performance.now(), mean(cpuSeconds)];
  await happens();
  return (100 * (mean(cpuSeconds) - before)) / ((performance.now() - startedMs) / 1_000);
}

const COLUMNS: readonly (readonly [title: string, of: (result: Result) => string])[] = [
  ["RSS MB", ({ rss }) => rss.toFixed(1)],
  ["anonymous MB", ({ anonymous }) => anonymous.toFixed(1)],
  ["PSS MB", ({ proportional }) => proportional.toFixed(1)],
  ["idle, % of a core", ({ idlePercent }) => idlePercent.toFixed(2)],
  ["10 KB each second, %", ({ pushedPercent }) => pushedPercent.toFixed(2)],
  ["RSS after that MB", ({ rssAfterPushes }) => rssAfterPushes.toFixed(1)],
];

function report(machine: string, results: readonly Result[]): void {
  console.log(
    `\n${machine}; ${AGENTS} agents, ${WITH_REAL_ENVOY} with a real Envoy; means of one, without its Envoy\n`,
  );
  printTable([
    ["", ...COLUMNS.map(([title]) => title)],
    ...results.map((result) => [result.name, ...COLUMNS.map(([, of]) => of(result))]),
  ]);
  const saved: ManyResults = { machine, agents: AGENTS, withRealEnvoy: WITH_REAL_ENVOY, seconds: SECONDS, results };
  saveResults("many", saved);
}

runRoles({ source: serveAdsSource, sinks: serveAdsSinks }, main);
