import { type ChildProcess, fork } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Server, ServerCredentials, type ServerDuplexStream } from "@grpc/grpc-js";
import { bindUnix, createMetrics, silentLogger } from "../src/base/index.ts";
import {
  keySpec,
  planIdentity,
  serveSds,
  startKeyGeneration,
  startSecrets,
  startTokens,
  WELL_KNOWN,
} from "../src/identity/index.ts";
import { startFakeCa } from "../test/support/fake-ca.ts";
import { createMovableClock } from "../test/support/movable-clock.ts";
import { connectSds, type SdsClientStream } from "../test/support/sds-client.ts";

// Secrets over SDS, from the opening of a stream to its first answer, against a floor: a bare grpc-js server that
// answers the same number of bytes without asking anyone. Server and client are two processes.

const SINGLE = 300;
const AT_ONCE = 100;
const ROUNDS = 10;
const OPEN = 1_000;
const METHOD = "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets";
const HOUR_MS = 3_600_000;

interface Result {
  readonly server: string;
  readonly oneP50Ms: number;
  readonly oneP99Ms: number;
  readonly hundredP50Ms: number;
  readonly hundredP99Ms: number;
  readonly rotationP50Ms: number;
  readonly rotationWorstMs: number;
  readonly rssPerStreamKb: number;
}

async function main(): Promise<void> {
  const results = [await measure("pilotboat"), await measure("floor")];
  console.table(Object.fromEntries(results.map(({ server, ...figures }) => [server, figures])));
  const json = JSON.stringify({ bench: "sds", node: process.version, streamsAtOnce: AT_ONCE, results }, null, 2);
  console.log(json);
  await mkdir("bench/results", { recursive: true });
  await writeFile("bench/results/sds.json", `${json}\n`);
}

async function measure(server: "pilotboat" | "floor"): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), "pb-bench-sds-"));
  await using ca = await startFakeCa();
  for (const [path, text] of [
    [WELL_KNOWN.controlPlaneRoot, ca.tlsRootPem],
    [WELL_KNOWN.token, "token"],
  ] as const) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
  }
  ca.behaviour = { kind: "sign", lifeMs: 1_000 * HOUR_MS };
  const child = fork(process.argv[1] ?? "", ["--serve", server, folder, String(ca.port)], {
    execArgv: ["--expose-gc"],
  });
  try {
    await reply(child, "ready");
    return { server, ...(await measureServer(child, join(folder, "s"))) };
  } finally {
    child.kill();
    await rm(folder, { recursive: true, force: true });
  }
}

async function measureServer(child: ChildProcess, path: string): Promise<Omit<Result, "server">> {
  await using client = connectSds(path);
  const open = async (): Promise<{ ms: number; stream: SdsClientStream }> => {
    const startedAt = performance.now();
    const stream = client.open();
    stream.ask("default");
    await stream.response(0);
    return { ms: performance.now() - startedAt, stream };
  };
  const timed = async (count: number): Promise<number[]> => {
    const opened = await Promise.all(Array.from({ length: count }, open));
    for (const { stream } of opened) stream.end();
    await Promise.all(opened.map(({ stream }) => stream.ended));
    return opened.map(({ ms }) => ms);
  };
  for (let i = 0; i < 50; i++) await timed(1); // warm up
  await timed(AT_ONCE);
  const one: number[] = [];
  for (let i = 0; i < SINGLE; i++) one.push(...(await timed(1)));
  const hundred: number[] = [];
  for (let i = 0; i < ROUNDS; i++) hundred.push(...(await timed(AT_ONCE)));
  const rotations = await measureRotations(child, await Promise.all(Array.from({ length: AT_ONCE }, open)));
  const before = Number(await ask(child, "rss"));
  await Promise.all(Array.from({ length: OPEN }, open));
  const after = Number(await ask(child, "rss"));
  return {
    oneP50Ms: quantile(one, 0.5),
    oneP99Ms: quantile(one, 0.99),
    hundredP50Ms: quantile(hundred, 0.5),
    hundredP99Ms: quantile(hundred, 0.99),
    rotationP50Ms: quantile(rotations, 0.5),
    rotationWorstMs: quantile(rotations, 1),
    rssPerStreamKb: round((after - before) / OPEN / 1_024),
  };
}

/** From the order to rotate until the last stream has the new certificate; key and CA included. */
async function measureRotations(
  child: ChildProcess,
  opened: readonly { stream: SdsClientStream }[],
): Promise<number[]> {
  const times: number[] = [];
  for (let i = 1; i <= ROUNDS; i++) {
    const startedAt = performance.now();
    child.send("rotate");
    await Promise.all(opened.map(({ stream }) => stream.response(i)));
    times.push(performance.now() - startedAt);
    for (const { stream } of opened) stream.acknowledge("default");
  }
  return times;
}

async function serve(server: string, folder: string, caPort: number): Promise<void> {
  const rotate = server === "floor" ? await serveFloor(join(folder, "s")) : await serveOurs(folder, caPort);
  process.on("message", (order) => {
    if (order === "rotate") void rotate();
    if (order !== "rss") return;
    globalThis.gc?.();
    process.send?.(String(process.memoryUsage().rss));
  });
  process.send?.("ready");
}

async function serveOurs(folder: string, caPort: number): Promise<() => Promise<void>> {
  const stop = new AbortController().signal;
  const [log, metrics, clock] = [silentLogger, createMetrics(), createMovableClock()];
  const socket = await bindUnix(join(folder, "s"));
  const tokenFile = join(folder, WELL_KNOWN.token);
  const tokens = startTokens({ fetcher: "JWT", path: tokenFile, trustDomain: "td", log, metrics, clock }, stop);
  const plan = await planIdentity({
    ...{ cwd: folder, caAddress: "", discoveryAddress: `localhost:${caPort}`, isXdsPlaintext: false },
    ...{ caProvider: "Citadel", caRoot: "", xdsRoot: "", pilotCertProvider: "istiod", istiodSan: "", provCert: "" },
    ...{ outputCerts: "", isFileMountedCerts: false, compliance: "", metadataFiles: {}, hasExternalSds: false },
  });
  if (plan.ca === undefined) throw new Error("no CA");
  const call = { compliance: "", tokenFile, clusterId: "", certSigner: "", headers: [], ttlSeconds: 3_600 };
  const secrets = await startSecrets(
    {
      ...{ cwd: folder, ca: { ...plan.ca, ...call }, files: plan.files, output: undefined, crlFile: undefined },
      keys: startKeyGeneration(keySpec({ rsaKeySize: 2048, eccAlgorithm: "ECDSA", eccCurve: "P256", isPkcs8: false })),
      identity: { trustDomain: "td", namespace: "ns", serviceAccount: "sa" },
      rotation: { ratio: 0.5, jitter: 0 },
      ...{ tokens, log, metrics, clock },
    },
    stop,
  );
  await serveSds({ socket, secrets, log, metrics });
  await secrets.get("default");
  return async () => {
    const { nextRotationMs = 0 } = secrets.status();
    clock.jump(nextRotationMs - clock.now());
    await clock.advance(60_000); // the next look at the wall clock
  };
}

async function serveFloor(path: string): Promise<() => Promise<void>> {
  // a version_info of about the length of a real answer (0x640 bytes as a varint)
  const envelope = Buffer.concat([Buffer.from([0x0a, 0xc0, 0x0c]), Buffer.alloc(0x640, "x")]);
  const open = new Set<ServerDuplexStream<Buffer, Buffer>>();
  const same = (bytes: Buffer): Buffer => bytes;
  const codec = {
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  };
  const server = new Server();
  server.addService(
    { stream: { path: METHOD, requestStream: true, responseStream: true, ...codec } },
    {
      stream: (call: ServerDuplexStream<Buffer, Buffer>) => {
        open.add(call);
        call.once("data", () => call.write(envelope));
        call.on("data", () => undefined);
        call.on("end", () => call.end());
        call.on("cancelled", () => open.delete(call));
      },
    },
  );
  await new Promise((resolve) => server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), resolve));
  return async () => {
    for (const call of open) call.write(envelope);
  };
}

function ask(child: ChildProcess, order: string): Promise<string> {
  const answered = reply(child);
  child.send(order);
  return answered;
}

function reply(child: ChildProcess, wanted?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`the server ended with ${code}`)));
    const listen = (text: unknown): void => {
      if (wanted !== undefined && text !== wanted) return;
      child.off("message", listen);
      resolve(String(text));
    };
    child.on("message", listen);
  });
}

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN);
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

const [, , mode, server = "", folder = "", port = ""] = process.argv;
void (mode === "--serve" ? serve(server, folder, Number(port)) : main()).catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
