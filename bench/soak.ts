import { setMaxListeners } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { freePorts } from "../test/support/ports.ts";
import { realEnvoy } from "../test/support/real-envoy.ts";
import { type SoakPoint, type SoakResult, soakPlot } from "./performance/soak-plot.ts";
import { serveAdsSource } from "./support/ads-source.ts";
import type { Agent } from "./support/agent.ts";
import { type Form, forms } from "./support/forms.ts";
import { startMesh } from "./support/mesh.ts";
import { cpuSeconds, handleCount, memoryMb } from "./support/proc.ts";
import { slopeOf } from "./support/regression.ts";
import { describeMachine, printTable, quantile, saveResults } from "./support/report.ts";
import { type Role, runRoles, startRole } from "./support/roles.ts";
import { serveSdsClient, startSdsClient } from "./support/sds-client.ts";
import { serveApplication } from "./support/stats-sources.ts";
import { appProbers, type SteadyLoad, startSteadyLoad } from "./support/steady-load.ts";

// What an agent costs over time, under everything that it does in a day at a steady rate: configuration, rotations, scrapes,
// probes, names, reloads. All forms run at the same time and in the same noise, each with a real Envoy and a control
// plane of its own.

const SECONDS = Number(process.env.BENCH_SECONDS ?? 600);
/** Before this share of the time is over, heaps still find their size: on Node for five minutes. */
const WARM_UP = 0.5;
/** A point of the plot and of the regression: long enough that neighbours say little about each other. */
const POINT_SECONDS = Math.max(2, Math.round(SECONDS / 120));
/** Rotations come at half of it. */
const CERTIFICATE_MS = 30_000;
const STREAMS = 4;
const AIM = { mbPerHour: 1, delayP99Ms: 5 };

/** Its JSON. */
export interface SoakResults {
  readonly machine: string;
  readonly seconds: number;
  /** The share of the time before which nothing counts. */
  readonly warmUp: number;
  readonly aim: typeof AIM;
  readonly results: readonly SoakResult[];
}

async function main(): Promise<void> {
  const machine = describeMachine();
  const settled = await Promise.allSettled(forms().map(soak)); // all of them end before a failure ends the process
  report(
    machine,
    settled.map((one) => {
      if (one.status === "rejected") throw one.reason;
      return one.value;
    }),
  );
}

async function soak(form: Form): Promise<SoakResult> {
  await using mesh = await startMesh({ certificateMs: CERTIFICATE_MS });
  const [application = 0] = await freePorts(1);
  const canReload = form.template === undefined; // pilot-agent has nothing of the kind
  const stream = mesh.source.call("stream", null);
  await using agent = await mesh.startAgent(form, {
    envoy: await realEnvoy(),
    words: canReload ? ["--hot-restart"] : [],
    proxyConfig: { drainDuration: "1s", parentShutdownDuration: "2s" },
    env: {
      ISTIO_META_DNS_CAPTURE: "true",
      ISTIO_PROMETHEUS_ANNOTATIONS: JSON.stringify({ scrape: "true", port: String(application) }),
      ISTIO_KUBE_APP_PROBERS: appProbers(application),
    },
  });
  await stream;
  using _application = await startRole("application", { port: application });
  using sds = await startSdsClient({ socket: agent.sdsSocket });
  await sds.call("hold", STREAMS);
  const stop = new AbortController();
  setMaxListeners(0, stop.signal); // one per kind of work, by intention
  const load = startSteadyLoad({ agent, source: mesh.source, sds, canReload }, stop.signal);
  const watched = await Promise.race([watch(agent, load), load.ended]).finally(() => stop.abort());
  await load.ended;
  if (watched === undefined) throw new Error("the load ended by itself");
  return { name: form.name, ...watched, done: Object.fromEntries(load.done) };
}

async function watch(agent: Agent, load: SteadyLoad): Promise<Omit<SoakResult, "name" | "done">> {
  const points: SoakPoint[] = [];
  const delaysMs: number[] = [];
  const startedMs = performance.now();
  for (let atS = POINT_SECONDS; atS <= SECONDS; atS += POINT_SECONDS) {
    const before = cpuSeconds(agent.pid);
    const memory = [];
    for (let second = 0; second < POINT_SECONDS; second++) {
      await new Promise((over) => setTimeout(over, 1_000));
      memory.push(memoryMb(agent.pid));
    }
    const lately = load.takeDelaysMs();
    if (atS > SECONDS * WARM_UP) delaysMs.push(...lately);
    points.push({
      atS: Math.round((performance.now() - startedMs) / 1_000),
      rssMb: rounded(mean(memory.map(({ rss }) => rss))),
      anonymousMb: rounded(mean(memory.map(({ anonymous }) => anonymous))),
      cpuPercent: rounded((100 * (cpuSeconds(agent.pid) - before)) / POINT_SECONDS),
      handles: handleCount(agent.pid),
      delayP99Ms: rounded(quantile(lately, 0.99)),
    });
  }
  const warm = points.filter(({ atS }) => atS > SECONDS * WARM_UP);
  const { slope, error } = slopeOf(warm.map(({ atS, rssMb }) => [atS / 3_600, rssMb]));
  return {
    points,
    ...{ mbPerHour: rounded(slope), mbPerHourError: rounded(error) },
    ...{ delayP50Ms: rounded(quantile(delaysMs, 0.5)), delayP99Ms: rounded(quantile(delaysMs, 0.99)) },
  };
}

const mean = (values: readonly number[]): number => values.reduce((sum, one) => sum + one, 0) / values.length;
const rounded = (value: number): number => Math.round(value * 100) / 100;

function report(machine: string, results: readonly SoakResult[]): void {
  console.log(`\n${machine}; ${SECONDS} s, all forms at the same time; after the first ${WARM_UP * 100} % of it\n`);
  printTable([
    ["", "RSS MB", "MB per hour", "± error", "CPU %", "handles", "delay p50 ms", "p99 ms"],
    ...results.map((one) => {
      const last = one.points.slice(Math.floor(one.points.length * WARM_UP));
      const of = (value: (point: SoakPoint) => number): number => mean(last.map(value));
      return [
        ...[one.name, of(({ rssMb }) => rssMb).toFixed(1), one.mbPerHour.toFixed(1), one.mbPerHourError.toFixed(1)],
        ...[of(({ cpuPercent }) => cpuPercent).toFixed(1), of(({ handles }) => handles).toFixed(0)],
        ...[one.delayP50Ms.toFixed(2), one.delayP99Ms.toFixed(2)],
      ];
    }),
  ]);
  console.log();
  for (const one of results) console.log(`${one.name}: ${verdicts(one).join("; ")}`);
  for (const { name, done } of results) console.log(`${name} did: ${JSON.stringify(done)}`);
  const saved: SoakResults = { machine, seconds: SECONDS, warmUp: WARM_UP, aim: AIM, results };
  saveResults("soak", saved);
  mkdirSync("bench/results", { recursive: true });
  writeFileSync("bench/results/soak.svg", soakPlot(results));
}

/** A slope needs two standard errors on one side of its aim. */
function verdicts({ mbPerHour, mbPerHourError, delayP99Ms }: SoakResult): string[] {
  const [least, most] = [mbPerHour - 2 * mbPerHourError, mbPerHour + 2 * mbPerHourError];
  const slope = most <= AIM.mbPerHour ? "met" : least > AIM.mbPerHour ? "MISSED" : "cannot be told yet, soak longer";
  return [
    `slope ${mbPerHour.toFixed(1)} ± ${mbPerHourError.toFixed(1)} MB/h, aim ${AIM.mbPerHour} MB/h: ${slope}`,
    `delay p99 ${delayP99Ms.toFixed(2)} ms, aim ${AIM.delayP99Ms} ms: ${delayP99Ms <= AIM.delayP99Ms ? "met" : "MISSED"}`,
  ];
}

const serveApp: Role = async ({ port }) => {
  await serveApplication(port);
  return {};
};

runRoles({ source: serveAdsSource, client: serveSdsClient, application: serveApp }, main);
