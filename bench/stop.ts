import { DEFAULT_ENVOY_VERSION } from "../src/envoy/binary/index.ts";
import { type RunningCommand, type Runtime, runtimes } from "../test/support/pilotboat.ts";
import { childrenOf } from "../test/support/processes.ts";
import { createSandbox, type ProxyOptions, type Sandbox } from "../test/support/sandbox.ts";
import { pause, untilAnswered } from "./support/ask.ts";
import { startLoneEnvoy, writeLoneBootstrap } from "./support/lone-envoy.ts";
import { cpuSeconds } from "./support/proc.ts";
import { describeMachine, printTable, quantile, saveResults } from "./support/report.ts";

// SIGTERM to exit of an agent that has no client, against an Envoy alone that gets the same signal; and before that,
// what an agent costs while nothing happens.

const RUNS = Number(process.env.BENCH_RUNS ?? 20);
const IDLE_SECONDS = Number(process.env.BENCH_IDLE_SECONDS ?? 60);
/** Until an agent that became ready is idle. */
const SETTLE_MS = 5_000;
const AIM_OVER_FLOOR_MS = 50;
const AIM_IDLE_PERCENT = 0.2;

/** The two ways of ending, each without any time that is only waited for. */
const WAYS: Readonly<Record<string, ProxyOptions>> = {
  "fixed drain of 0 s": {},
  "until no connection": { env: { EXIT_ON_ZERO_ACTIVE_CONNECTIONS: "true", MINIMUM_DRAIN_DURATION: "0s" } },
};

interface Idle {
  readonly name: string;
  /** Of one core, over the whole time. */
  readonly agentPercent: number;
  readonly envoyPercent: number;
}

async function main(): Promise<void> {
  const machine = describeMachine();
  const forms = runtimes();
  const idle = await Promise.all(forms.map(idleOnce));
  const stops = new Map<string, number[]>();
  const floorMs: number[] = [];
  for (let round = 0; round <= RUNS; round++) {
    for (const form of forms) {
      await using sandbox = await createSandbox(form);
      await using _ = await sandbox.startControlPlane();
      for (const [way, options] of Object.entries(WAYS)) {
        const tookMs = await stopOnce(sandbox, options);
        const name = `${form.name}: ${way}`;
        if (round > 0) stops.set(name, [...(stops.get(name) ?? []), tookMs]);
      }
      const aloneMs = await stopAlone(sandbox);
      if (round > 0) floorMs.push(aloneMs);
    }
  }
  report({ machine, idle, stops, floorMs });
}

async function startReady(sandbox: Sandbox, options: ProxyOptions): Promise<RunningCommand> {
  const proxy = await sandbox.startProxy(options);
  await proxy.waitFor(/Start: .*ready/);
  return proxy;
}

/** What the agent and its Envoy use when nobody asks anything. */
async function idleOnce(form: Runtime): Promise<Idle> {
  await using sandbox = await createSandbox(form);
  await using _ = await sandbox.startControlPlane();
  await using proxy = await startReady(sandbox, {});
  const [envoy = 0] = childrenOf(proxy.pid);
  await pause(SETTLE_MS);
  const startedMs = performance.now();
  const before = [cpuSeconds(proxy.pid), cpuSeconds(envoy)] as const;
  await pause(IDLE_SECONDS * 1_000);
  const percent = (usedSeconds: number): number => (100 * usedSeconds) / ((performance.now() - startedMs) / 1_000);
  return {
    name: form.name,
    agentPercent: percent(cpuSeconds(proxy.pid) - before[0]),
    envoyPercent: percent(cpuSeconds(envoy) - before[1]),
  };
}

/** Also writes the bootstrap for an Envoy alone, while it is there to be copied. */
async function stopOnce(sandbox: Sandbox, options: ProxyOptions): Promise<number> {
  await using proxy = await startReady(sandbox, options);
  writeLoneBootstrap(sandbox);
  const startedMs = performance.now();
  proxy.kill("SIGTERM");
  const { code } = await proxy.ended;
  if (code !== 0) throw new Error(`The agent ended with ${code}:\n${proxy.stderr()}`);
  return performance.now() - startedMs;
}

async function stopAlone(sandbox: Sandbox): Promise<number> {
  const envoy = await startLoneEnvoy(sandbox);
  await untilAnswered(sandbox.ports.outbound);
  const startedMs = performance.now();
  envoy.process.kill("SIGTERM");
  await envoy.ended;
  return performance.now() - startedMs;
}

interface Results {
  readonly machine: string;
  readonly idle: readonly Idle[];
  readonly stops: ReadonlyMap<string, readonly number[]>;
  readonly floorMs: readonly number[];
}

function report({ machine, idle, stops, floorMs }: Results): void {
  console.log(`\n${machine}; Envoy ${DEFAULT_ENVOY_VERSION}\n`);
  printTable([
    [`idle for ${IDLE_SECONDS} s, % of a core`, "agent", "its Envoy"],
    ...idle.map((one) => [one.name, one.agentPercent.toFixed(2), one.envoyPercent.toFixed(2)]),
  ]);
  const cells = (label: string, values: readonly number[]): string[] => [
    label,
    ...[0, 0.5, 0.99].map((share) => quantile(values, share).toFixed(0)),
  ];
  console.log(`\nSIGTERM to exit, no connection, ${RUNS} each, ms\n`);
  printTable([
    ["", "min", "p50", "p99"],
    ...[...stops].map(([name, values]) => cells(name, values)),
    cells("floor: Envoy alone", floorMs),
  ]);
  const aimMs = quantile(floorMs, 0.5) + AIM_OVER_FLOOR_MS;
  const verdict = (name: string, value: number, aim: number, unit: string): string =>
    `${name} ${value < aim ? "meets" : "MISSES"} the aim: ${value.toFixed(2)} of ${aim.toFixed(2)} ${unit}`;
  console.log();
  for (const one of idle) console.log(verdict(`${one.name}, idle,`, one.agentPercent, AIM_IDLE_PERCENT, "%"));
  for (const [name, values] of stops) console.log(verdict(name, quantile(values, 0.5), aimMs, "ms"));
  const settings = { envoy: DEFAULT_ENVOY_VERSION, runs: RUNS, idleSeconds: IDLE_SECONDS };
  saveResults("stop", { machine, ...settings, idle, aimMs, stops: Object.fromEntries(stops), floorMs });
}

await main();
