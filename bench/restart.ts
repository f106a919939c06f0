import { DEFAULT_ENVOY_VERSION } from "../src/envoy/binary/index.ts";
import { RESTART_BACKOFF } from "../src/envoy/supervisor/restart-policy.ts";
import { type Runtime, runtimes } from "../test/support/pilotboat.ts";
import { childrenOf } from "../test/support/processes.ts";
import { createSandbox, type Sandbox } from "../test/support/sandbox.ts";
import { ask, GIVE_UP_MS, nextMillisecond, untilAnswered } from "./support/ask.ts";
import { startLoneEnvoy, writeLoneBootstrap } from "./support/lone-envoy.ts";
import { describeMachine, printTable, quantile, saveResults } from "./support/report.ts";

// Envoy is killed, and a client that asks all the time tells when it is answered again, through the mutual-TLS hop of
// the quickstart: new process, configuration and certificates included. The floor is the same Envoy alone, from spawn to
// the first answer, with a fixed answer in its bootstrap. Every crash is the first one of a new agent, for which there is
// no wait; the aim allows for the first step of the backoff.

const RUNS = Number(process.env.BENCH_RUNS ?? 20);
const AIM_OF_FLOOR = 1.25;

interface Crash {
  /** From SIGKILL to the new process. */
  readonly spawnedMs: number;
  /** From SIGKILL to the first answer. */
  readonly servingMs: number;
}

interface Samples {
  readonly crashes: Map<string, Crash[]>;
  /** From the request to replace Envoy until the new epoch is live and has taken over. */
  readonly hotMs: Map<string, number[]>;
  readonly floorMs: number[];
}

async function main(): Promise<void> {
  const forms = runtimes();
  const samples: Samples = { crashes: new Map(), hotMs: new Map(), floorMs: [] };
  for (const { name } of forms) {
    samples.crashes.set(name, []);
    samples.hotMs.set(name, []);
  }
  const machine = describeMachine();
  for (let round = 0; round <= RUNS; round++) {
    for (const form of forms) {
      await using sandbox = await createSandbox(form);
      const crash = await crashOnce(form, sandbox);
      const floorMs = await startAlone(sandbox);
      const hotMs = await replaceOnce(sandbox);
      if (round === 0) continue; // warms the file cache
      samples.crashes.get(form.name)?.push(crash);
      samples.hotMs.get(form.name)?.push(hotMs);
      samples.floorMs.push(floorMs);
    }
  }
  report(machine, samples);
}

async function crashOnce(form: Runtime, sandbox: Sandbox): Promise<Crash> {
  await using controlPlane = await sandbox.startControlPlane();
  await using proxy = await sandbox.startProxy({ args: ["--restart", "on-failure"] });
  await proxy.waitFor(/Start: .*ready/);
  const [killed = 0] = childrenOf(proxy.pid);
  await untilAnswered(sandbox.ports.outbound);
  await untilSupervised(sandbox.ports.status);

  const startedMs = performance.now();
  process.kill(killed, "SIGKILL");
  const spawned = untilReplaced(proxy.pid, killed);
  await untilRefused(sandbox.ports.outbound);
  const servingMs = (await untilAnswered(sandbox.ports.outbound)) - startedMs;
  const spawnedMs = (await spawned) - startedMs;

  writeLoneBootstrap(sandbox);
  proxy.kill("SIGTERM");
  const { code } = await proxy.ended;
  if (code !== 0) throw new Error(`${form.name} ended with ${code}:\n${proxy.stderr()}`);
  controlPlane.kill("SIGTERM");
  return { spawnedMs, servingMs };
}

/** What it takes the first time; later ones may have to wait for an epoch that still drains. */
async function replaceOnce(sandbox: Sandbox): Promise<number> {
  await using _ = await sandbox.startControlPlane();
  await using proxy = await sandbox.startProxy({ args: ["--hot-restart"] });
  await proxy.waitFor(/Start: .*ready/);
  await untilSupervised(sandbox.ports.status);
  const startedMs = performance.now();
  const { outcome, reason } = await sandbox.reload();
  const tookMs = performance.now() - startedMs;
  if (outcome !== "replaced") throw new Error(`The hot restart was ${outcome}: ${reason}`);
  proxy.kill("SIGTERM");
  await proxy.ended;
  return tookMs;
}

/** A crash counts as the first one of a good Envoy only when the agent, too, has seen it live. */
async function untilSupervised(statusPort: number): Promise<void> {
  const limitMs = performance.now() + GIVE_UP_MS;
  while (performance.now() < limitMs) {
    const answer = await fetch(`http://127.0.0.1:${statusPort}/debug/agent`);
    const { envoy } = (await answer.json()) as { envoy: { kind: string } };
    if (envoy.kind === "running") return;
    await nextMillisecond();
  }
  throw new Error("The agent did not see its Envoy live within the limit");
}

async function startAlone(sandbox: Sandbox): Promise<number> {
  const startedMs = performance.now();
  const envoy = await startLoneEnvoy(sandbox);
  const tookMs = (await untilAnswered(sandbox.ports.outbound)) - startedMs;
  envoy.process.kill("SIGTERM");
  await envoy.ended;
  return tookMs;
}

async function untilRefused(port: number): Promise<void> {
  const limitMs = performance.now() + GIVE_UP_MS;
  while (performance.now() < limitMs) if ((await ask(port)) === undefined) return;
  throw new Error(`Port ${port} went on answering after the crash`);
}

/** When the agent had another child than `old`. */
async function untilReplaced(agent: number, old: number): Promise<number> {
  const limitMs = performance.now() + GIVE_UP_MS;
  while (performance.now() < limitMs) {
    if (childrenOf(agent).some((pid) => pid !== old)) return performance.now();
    await nextMillisecond();
  }
  throw new Error("The agent started no other Envoy within the limit");
}

function report(machine: string, { crashes, hotMs, floorMs }: Samples): void {
  const floor = { p50: quantile(floorMs, 0.5), p99: quantile(floorMs, 0.99) };
  const aimMs = AIM_OF_FLOOR * floor.p50 + RESTART_BACKOFF.initialMs;
  const cells = (label: string, values: readonly number[]): string[] => [
    label,
    ...[0, 0.5, 0.99].map((share) => (values.length === 0 ? "" : quantile(values, share).toFixed(0))),
  ];
  console.log(`\n${machine}; Envoy ${DEFAULT_ENVOY_VERSION}; ${RUNS} crashes each; ms\n`);
  printTable([
    ["", "min", "p50", "p99"],
    ...[...crashes].flatMap(([name, list]) => [
      cells(
        `${name}: crash to new process`,
        list.map(({ spawnedMs }) => spawnedMs),
      ),
      cells(
        `${name}: new process to serving`,
        list.map(({ spawnedMs, servingMs }) => servingMs - spawnedMs),
      ),
      cells(
        `${name}: crash to serving`,
        list.map(({ servingMs }) => servingMs),
      ),
    ]),
    ...[...hotMs].map(([name, list]) => cells(`${name}: hot restart, asked to new epoch live`, list)),
    cells("floor: Envoy alone, spawn to serving", floorMs),
  ]);
  const verdicts = [...crashes].map(([name, list]) => {
    const p50 = quantile(
      list.map(({ servingMs }) => servingMs),
      0.5,
    );
    return `${name} ${p50 < aimMs ? "meets" : "MISSES"} the aim: ${p50.toFixed(0)} of ${aimMs.toFixed(0)} ms`;
  });
  console.log(`\n${verdicts.join("\n")}`);
  saveResults("restart", {
    machine,
    envoy: DEFAULT_ENVOY_VERSION,
    runs: RUNS,
    aimMs,
    crashes: Object.fromEntries(crashes),
    hotMs: Object.fromEntries(hotMs),
    floorMs,
  });
}

await main();
