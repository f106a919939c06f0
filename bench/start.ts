import { spawnSync } from "node:child_process";
import { readFileSync, readlinkSync } from "node:fs";
import { join, resolve } from "node:path";
import { startExampleService } from "../examples/quickstart/service.ts";
import { silentLogger } from "../src/base/index.ts";
import { type ControlPlane, startControlPlane } from "../src/control-plane/index.ts";
import { freePorts } from "../test/support/ports.ts";
import { childrenOf } from "../test/support/processes.ts";
import { realEnvoy } from "../test/support/real-envoy.ts";
import { type LaunchedAgent, launchAgent, type Places } from "./support/agent.ts";
import { ask, GIVE_UP_MS, pause } from "./support/ask.ts";
import { type Form, forms } from "./support/forms.ts";
import { timeLoneStart } from "./support/lone-envoy.ts";
import { cpuSeconds, memoryMb } from "./support/proc.ts";
import { describeMachine, printTable, quantile, saveResults } from "./support/report.ts";

// Process start to ready, and a stop to the end of the process, of each form of the product and of pilot-agent, with a real
// Envoy and the development control plane. What is compared is seen from outside, in the same way for all. Floors of the
// same run: an empty Node program, and Envoy alone with the static part of the same bootstrap.

const RUNS = Number(process.env.BENCH_RUNS ?? 10);
/** Between two looks at the children of the agent, and between two questions for its readiness. */
const SPAWN_LOOK_MS = 1;
const READY_LOOK_MS = 2;
/** From ready to the stop: what only boots is over by then. */
const SETTLE_MS = 500;

/** The two stops that wait for nothing: every other one drains. */
const STOPS = ["Envoy killed → gone", "/quitquitquit → gone"] as const;
type Stop = (typeof STOPS)[number];

/** What is seen from outside, by its unit. */
const UNITS = {
  ...{ "Envoy spawned": "ms", ready: "ms", "CPU until ready": "ms" },
  ...{ "RSS when ready": "MB", "anonymous when ready": "MB" },
  ...{ "Envoy killed → gone": "ms", "/quitquitquit → gone": "ms" },
} as const;
type Measure = keyof typeof UNITS;
const MEASURES = Object.keys(UNITS) as Measure[];

/** One value for each start, or for each stop of that kind. */
type Values = readonly number[];

interface Gathered {
  readonly seen: Readonly<Partial<Record<Measure, Values>>>;
  /** By what the product itself notes, in milliseconds from the start of the process; none of the peer. */
  readonly steps: Readonly<Record<string, Values>>;
}

/** Its JSON. */
export interface StartResults {
  readonly machine: string;
  readonly runs: number;
  readonly units: Readonly<Record<Measure, string>>;
  readonly results: readonly (Gathered & { readonly name: string })[];
  readonly floors: { readonly node: Values; readonly envoy: Values };
}

interface Sample {
  readonly seen: ReadonlyMap<Measure, number>;
  /** Milliseconds from the start of the process to each; empty for the peer. */
  readonly steps: ReadonlyMap<string, number>;
  /** What Envoy was started with. */
  readonly bootstrap: string;
}

async function main(): Promise<void> {
  const machine = describeMachine();
  const envoy = await realEnvoy();
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
  const places = await placesOf(controlPlane);
  const all = forms().map((form) => ({ form, samples: [] as Sample[] }));
  const floors = { node: [] as number[], envoy: [] as number[] };
  for (let round = 0; round <= RUNS; round++) {
    const node = emptyNodeMs();
    let bootstrap = "";
    for (const { form, samples } of all) {
      for (const stop of STOPS) {
        const sample = await liveOnce(form, places, { envoy, stop });
        bootstrap = sample.bootstrap;
        if (round > 0) samples.push(sample); // the first round warms the file cache
      }
    }
    const alone = await timeLoneStart(bootstrap);
    if (round === 0) continue;
    floors.node.push(node);
    floors.envoy.push(alone);
  }
  const results = all.map(({ form, samples }) => ({ name: form.name, ...gathered(samples) }));
  report({ machine, runs: RUNS, units: UNITS, results, floors });
}

async function placesOf(controlPlane: ControlPlane): Promise<Places> {
  const token = await controlPlane.mintToken({ namespace: "default", serviceAccount: "default" });
  const { port, rootPem } = controlPlane;
  return { discovery: port, ca: port, rootPem, token: token.reveal().toString() };
}

/** In the agents' environment: on Node 20 NODE_EXTRA_CA_CERTS alone, when it is set, takes 40 ms of every start. */
function emptyNodeMs(): number {
  const startedMs = performance.now();
  spawnSync(process.execPath, ["-e", "0"], { env: { PATH: process.env.PATH } });
  return performance.now() - startedMs;
}

interface LifeOptions {
  readonly envoy: string;
  readonly stop: Stop;
}

/** From the start of the process to its end. */
async function liveOnce(form: Form, places: Places, { envoy, stop }: LifeOptions): Promise<Sample> {
  await using agent = await launchAgent(form, places, { envoy });
  const spawned = await untilSpawned(agent.pid, envoy);
  const readyMs = await agent.ready(READY_LOOK_MS);
  const cpuMs = cpuSeconds(agent.pid) * 1_000;
  const { rss, anonymous } = memoryMb(agent.pid);
  await pause(SETTLE_MS);
  const steps = form.template === undefined ? await stepsOf(agent) : new Map<string, number>();
  const bootstrap = readFileSync(join(agent.folder, "etc/istio/proxy/envoy-rev.json"), "utf8");
  const stoppedMs = performance.now();
  if (stop === "Envoy killed → gone") process.kill(spawned.pid, "SIGKILL");
  else await ask(agent.statusPort, "/quitquitquit", "POST");
  const goneMs = (await agent.gone) - stoppedMs;
  const seen: readonly (readonly [Measure, number])[] = [
    ["Envoy spawned", spawned.atMs - agent.startedMs],
    ["ready", readyMs - agent.startedMs],
    ["CPU until ready", cpuMs],
    ["RSS when ready", rss],
    ["anonymous when ready", anonymous],
    [stop, goneMs],
  ];
  return { seen: new Map(seen), steps, bootstrap };
}

/** When a child of the agent had become Envoy. */
async function untilSpawned(agent: number, envoy: string): Promise<{ readonly pid: number; readonly atMs: number }> {
  const limitMs = performance.now() + GIVE_UP_MS;
  while (performance.now() < limitMs) {
    const pid = childrenOf(agent).find((child) => executableOf(child) === envoy);
    if (pid !== undefined) return { pid, atMs: performance.now() };
    await pause(SPAWN_LOOK_MS);
  }
  throw new Error("The agent started no Envoy within the limit");
}

function executableOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/exe`);
  } catch {
    return undefined; // it ended between the two looks
  }
}

/** As the product itself notes them. */
async function stepsOf({ statusPort }: LaunchedAgent): Promise<ReadonlyMap<string, number>> {
  const answer = await fetch(`http://127.0.0.1:${statusPort}/debug/agent`);
  const { timeline } = (await answer.json()) as { readonly timeline: Readonly<Record<string, number>> };
  return new Map(Object.entries(timeline));
}

function gathered(samples: readonly Sample[]): Gathered {
  const by = <K extends string>(values: (sample: Sample) => ReadonlyMap<K, number>): Record<K, Values> => {
    const names = new Set(samples.flatMap((sample) => [...values(sample).keys()]));
    const of = (name: K): Values => samples.flatMap((sample) => values(sample).get(name) ?? []);
    return Object.fromEntries([...names].map((name) => [name, of(name)])) as Record<K, Values>;
  };
  return { seen: by(({ seen }) => seen), steps: by(({ steps }) => steps) };
}

function report(all: StartResults): void {
  const { machine, runs, units, results, floors } = all;
  const names = results.map(({ name }) => name);
  const row = (title: string, unit: string, of: (one: Gathered) => Values | undefined): string[] => [
    `${title}, ${unit}`,
    ...results.map((one) => spread(of(one) ?? [])),
  ];
  console.log(`\n${machine}; ${runs} alternating rounds; least / median / most\n`);
  printTable([
    ["seen from outside", ...names],
    ...MEASURES.map((measure) => row(measure, units[measure], ({ seen }) => seen[measure])),
  ]);
  const steps = new Set(results.flatMap((one) => Object.keys(one.steps)));
  console.log();
  printTable([
    ["noted by the product", ...names],
    ...[...steps].map((step) => row(step, "ms", (one) => one.steps[step])),
  ]);
  console.log();
  printTable([
    ["floor: an empty program of Node, ms", spread(floors.node)],
    ["floor: Envoy alone, until it is ready, ms", spread(floors.envoy)],
  ]);
  saveResults("start", all);
}

const spread = (values: Values): string =>
  values.length === 0 ? "–" : [0, 0.5, 1].map((share) => quantile(values, share).toFixed(0)).join(" / ");

await main();
