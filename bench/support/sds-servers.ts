import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Server, ServerCredentials, type ServerDuplexStream } from "@grpc/grpc-js";
import { bindUnix, createMetrics, silentLogger } from "../../src/base/index.ts";
import { type Secrets, serveSds, startSecrets, startTokens } from "../../src/identity/index.ts";
import { keySpec, planIdentity, startKeyGeneration } from "../../src/identity/prepare/index.ts";
import type { SecretItem } from "../../src/identity/secrets/secret-item.ts";
import { PATHS } from "../../src/istio/index.ts";
import { createMovableClock } from "../../test/support/movable-clock.ts";

// The two servers of the benchmark, each in a process of its own that takes orders.

export type ServerName = "pilotboat" | "floor";

export const METHOD = "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets";

export interface ServerSettings {
  readonly folder: string;
  readonly ca: { readonly port: number; readonly tlsRootPem: string };
}

/** What a server can be told, beside opening streams. */
interface Orders {
  /** Sends every open stream a new secret that is at hand. */
  push(): Promise<void>;
  /** Has a new certificate issued, which is then pushed. */
  rotate(): Promise<void>;
}

/** `usage` counts memory after a garbage collection, `cpu` does without that. */
export type Order = keyof Orders | "cpu" | "usage";

export interface Usage {
  readonly cpuUs: number;
  readonly rssKb: number;
  /** In the heap and in buffers. */
  readonly heapKb: number;
}

export async function serve(name: ServerName, settings: ServerSettings): Promise<void> {
  const orders = name === "floor" ? await serveFloor(settings) : await serveOurs(settings);
  process.on("message", (order: Order) => {
    if (order === "cpu" || order === "usage") void usage(order).then((found) => process.send?.(found));
    else void orders[order]();
  });
  process.send?.("ready");
}

async function usage(order: "cpu" | "usage"): Promise<Usage> {
  for (let round = 0; order === "usage" && round < 5; round++) {
    globalThis.gc?.();
    await new Promise((resolve) => setImmediate(resolve)); // native memory goes with a later turn
  }
  const { user, system } = process.cpuUsage();
  const { rss, heapUsed, external } = process.memoryUsage();
  return { rssKb: rss / 1_024, heapKb: (heapUsed + external) / 1_024, cpuUs: user + system };
}

async function serveOurs({ folder, ca }: ServerSettings): Promise<Orders> {
  await writeIn(folder, PATHS.controlPlaneRoot, ca.tlsRootPem);
  await writeIn(folder, PATHS.token, "token");
  const stop = new AbortController().signal;
  const [log, metrics, clock] = [silentLogger, createMetrics("istio_agent_"), createMovableClock()];
  const socket = await bindUnix(join(folder, "s"));
  const tokenFile = join(folder, PATHS.token);
  const tokens = startTokens({ fetcher: "JWT", path: tokenFile, trustDomain: "td", log, metrics, clock }, stop);
  const plan = await planIdentity({
    ...{ cwd: folder, caAddress: "", discoveryAddress: `localhost:${ca.port}`, isXdsPlaintext: false },
    ...{
      caProvider: "Citadel",
      caRoot: "",
      xdsRoot: "",
      pilotCertProvider: "istiod",
      istiodSan: "",
      provCert: "",
    },
    ...{
      outputCerts: "",
      isFileMountedCerts: false,
      compliance: "",
      metadataFiles: {},
      hasExternalSds: false,
      isControlPlaneOptional: false,
    },
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
  const source = pushable(secrets);
  await serveSds({ socket, secrets: source, log, metrics });
  await secrets.get("default");
  return {
    push: source.push,
    async rotate() {
      source.reset();
      const { nextRotationMs = 0 } = secrets.status();
      clock.jump(nextRotationMs - clock.now());
      await clock.advance(60_000); // the next look at the wall clock
    },
  };
}

/** The secrets, with one of them replaced by another on demand. */
function pushable(secrets: Secrets) {
  const listeners = new Set<() => void>();
  let other: SecretItem | undefined;
  let pushes = 0;
  return {
    get: async (name: string) => other ?? secrets.get(name),
    subscribe(name: string, listener: () => void) {
      listeners.add(listener);
      const unsubscribe = secrets.subscribe(name, listener);
      return () => {
        listeners.delete(listener);
        unsubscribe();
      };
    },
    async push() {
      const item = await secrets.get("default");
      if (item.kind !== "certificate") throw new Error("no certificate");
      other = { ...item, certChain: Buffer.concat([item.certChain, Buffer.from(`# ${++pushes}\n`)]) };
      for (const listener of listeners) listener();
    },
    reset() {
      other = undefined;
    },
  };
}

async function serveFloor({ folder }: ServerSettings): Promise<Orders> {
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
  await new Promise((resolve) =>
    server.bindAsync(`unix:${join(folder, "s")}`, ServerCredentials.createInsecure(), resolve),
  );
  const push = async (): Promise<void> => {
    for (const call of open) call.write(envelope);
  };
  return { push, rotate: push };
}

async function writeIn(folder: string, path: string, text: string): Promise<void> {
  await mkdir(dirname(join(folder, path)), { recursive: true });
  await writeFile(join(folder, path), text);
}
