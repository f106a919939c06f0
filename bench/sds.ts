import { type ChildProcess, fork } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type FakeCa, startFakeCa } from "../test/support/fake-ca.ts";
import { describeMachine, quantile, saveResults } from "./support/report.ts";
import { type BenchClient, type BenchStream, connectClient } from "./support/sds-client.ts";
import { type Order, type ServerName, type ServerSettings, serve, type Usage } from "./support/sds-servers.ts";

// Secrets over SDS, from the opening of a stream to its first answer, against a floor: a bare grpc-js server that
// answers the same number of bytes without asking anyone. Servers and client are processes of their own. The servers
// take turns, so that whatever else the machine does meets both. `push` is from the order to the last of all open
// streams; `rotation` has a new key and the CA's answer before that, for which there is no floor.

const TURNS = 5;
const SINGLE = 200;
const AT_ONCE = 100;
const ROUNDS = 10;
const OPEN = 2_000;
const HOUR_MS = 3_600_000;

/** Milliseconds, one for each time. */
interface Samples {
  readonly one: number[];
  readonly hundred: number[];
  readonly push: number[];
  readonly rotation: number[];
  /** Microseconds of the server's processor time for one of a hundred streams, from opening to end. */
  readonly cpuUs: number[];
}

interface Running extends AsyncDisposable {
  readonly name: ServerName;
  readonly child: ChildProcess;
  readonly client: BenchClient;
  readonly samples: Samples;
}

async function main(): Promise<void> {
  await using ca = await startFakeCa();
  ca.behaviour = { kind: "sign", lifeMs: 1_000 * HOUR_MS };
  await using ours = await startServer("pilotboat", ca);
  await using floor = await startServer("floor", ca);
  const servers = [ours, floor];
  for (const { client } of servers) for (let i = 0; i < 10; i++) await openAll(client, AT_ONCE).then(endAll); // warm up
  for (let turn = 0; turn < TURNS; turn++) for (const server of servers) await takeTurn(server);
  await measureRotations(ours);
  const results = [];
  for (const server of servers) results.push({ ...summary(server), ...(await measureMemory(server)) });
  console.log(describeMachine());
  console.table(Object.fromEntries(results.map(({ server, ...figures }) => [server, figures])));
  saveResults("sds", { machine: describeMachine(), node: process.version, streamsAtOnce: AT_ONCE, results });
}

async function startServer(name: ServerName, ca: FakeCa): Promise<Running> {
  const folder = await mkdtemp(join(tmpdir(), "pb-bench-sds-"));
  const settings: ServerSettings = { folder, ca: { port: ca.port, tlsRootPem: ca.tlsRootPem } };
  const child = fork(process.argv[1] ?? "", ["--serve", name, JSON.stringify(settings)], {
    execArgv: ["--expose-gc"],
  });
  await reply(child);
  const client = connectClient(join(folder, "s"));
  return {
    ...{ name, child, client, samples: { one: [], hundred: [], push: [], rotation: [], cpuUs: [] } },
    async [Symbol.asyncDispose]() {
      client[Symbol.dispose]();
      child.removeAllListeners("exit").kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function takeTurn({ child, client, samples }: Running): Promise<void> {
  for (let i = 0; i < SINGLE; i++) samples.one.push(...(await openAll(client, 1).then(endAll)));
  for (let i = 0; i < ROUNDS; i++) {
    const before = await usage(child, "cpu");
    samples.hundred.push(...(await openAll(client, AT_ONCE).then(endAll)));
    samples.cpuUs.push(((await usage(child, "cpu")).cpuUs - before.cpuUs) / AT_ONCE);
  }
  const opened = await openAll(client, AT_ONCE);
  for (let i = 1; i <= ROUNDS; i++) samples.push.push(await timeOrder(child, "push", opened, i));
  await endAll(opened);
}

async function measureRotations({ child, client, samples }: Running): Promise<void> {
  const opened = await openAll(client, AT_ONCE);
  for (let i = 1; i <= ROUNDS; i++) samples.rotation.push(await timeOrder(child, "rotate", opened, i));
  await endAll(opened);
}

async function measureMemory({ child, client }: Running): Promise<{ heapPerStreamKb: number; rssPerStreamKb: number }> {
  const before = await usage(child, "usage");
  for (let i = 0; i < OPEN / AT_ONCE; i++) await openAll(client, AT_ONCE);
  const after = await usage(child, "usage");
  return {
    heapPerStreamKb: round((after.heapKb - before.heapKb) / OPEN),
    rssPerStreamKb: round((after.rssKb - before.rssKb) / OPEN),
  };
}

interface Opened {
  readonly stream: BenchStream;
  readonly ms: number;
}

function openAll(client: BenchClient, count: number): Promise<Opened[]> {
  return Promise.all(
    Array.from({ length: count }, async () => {
      const startedAt = performance.now();
      const stream = client.open();
      await stream.response(0);
      return { stream, ms: performance.now() - startedAt };
    }),
  );
}

/** Returns how long each took to open. */
async function endAll(opened: readonly Opened[]): Promise<number[]> {
  await Promise.all(opened.map(({ stream }) => stream.end()));
  return opened.map(({ ms }) => ms);
}

/** From the order until the last stream has response number `index`, in milliseconds. */
async function timeOrder(child: ChildProcess, order: Order, opened: readonly Opened[], index: number): Promise<number> {
  const startedAt = performance.now();
  child.send(order);
  const responses = await Promise.all(opened.map(({ stream }) => stream.response(index)));
  const ms = performance.now() - startedAt;
  for (const [at, { stream }] of opened.entries()) stream.acknowledge(responses[at] ?? Buffer.alloc(0));
  return ms;
}

async function usage(child: ChildProcess, order: "cpu" | "usage"): Promise<Usage> {
  const answered = reply(child);
  child.send(order satisfies Order);
  return (await answered) as Usage;
}

function reply(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const fail = (code: number | null): void => reject(new Error(`the server ended with ${code}`));
    child.once("exit", fail);
    child.once("message", (message) => {
      child.off("exit", fail);
      resolve(message);
    });
  });
}

function summary({ name, samples }: Running) {
  const { one, hundred, push, rotation, cpuUs } = samples;
  return {
    server: name,
    oneP50Ms: round(quantile(one, 0.5)),
    oneP99Ms: round(quantile(one, 0.99)),
    hundredP50Ms: round(quantile(hundred, 0.5)),
    hundredP99Ms: round(quantile(hundred, 0.99)),
    pushP50Ms: round(quantile(push, 0.5)),
    pushWorstMs: round(quantile(push, 1)),
    ...(rotation.length === 0 ? {} : { rotationP50Ms: round(quantile(rotation, 0.5)) }),
    cpuPerStreamUs: round(quantile(cpuUs, 0.5)),
  };
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

const [, , mode, server = "", settings = ""] = process.argv;
void (mode === "--serve" ? serve(server as ServerName, JSON.parse(settings)) : main()).catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
