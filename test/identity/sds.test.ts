import { connect } from "node:net";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { AgentError, bindUnix, createMetrics, Secret, silentLogger } from "../../src/base/index.ts";
import { type KeyProvider, serveSds } from "../../src/identity/index.ts";
import type { SecretItem } from "../../src/identity/secrets/secret-item.ts";
import { CryptoMbPrivateKeyMethodConfigSchema } from "../../src/proto/gen/envoy/extensions/private_key_providers/cryptomb/v3alpha/cryptomb_pb.ts";
import { connectSds, secretsOf } from "../support/sds-client.ts";
import { createWorld, type World } from "./world.ts";

test("a first request is answered with everything it names, in its order", async () => {
  await using sds = await start();
  const stream = sds.client.open();
  stream.ask("ROOTCA", "default");
  const response = await stream.response(0);
  expect(secretsOf(response).map(({ name, type }) => [name, type.case])).toEqual([
    ["ROOTCA", "validationContext"],
    ["default", "tlsCertificate"],
  ]);
  expect(response.versionInfo).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\/\d+$/);
  expect(response.nonce).toMatch(/^[0-9a-f-]{36}$/);
  expect(response.typeUrl).toBe("type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret");
});

test.each([
  [false, /Starting default Istio SDS Server[\s\S]*Starting SDS server for workload certificates, will listen on/],
  [true, /^[^\n]*Starting SDS server for file certificates only, will listen on[^\n]*\n$/],
])("the start of the server is told, with files only: %s", async (isFilesOnly, expected) => {
  await using world = await createWorld();
  await using socket = await bindUnix(join(world.cwd, "s"));
  await using _server = await serveSds({
    socket,
    secrets: fakeSecrets(),
    log: world.log,
    metrics: createMetrics("istio_agent_"),
    isFilesOnly,
  });
  expect(world.lines.join("")).toMatch(expected);
});

test("names added with an acknowledgement are answered alone, removed ones not at all", async () => {
  await using sds = await start();
  const stream = sds.client.open();
  stream.ask("default");
  await stream.response(0);
  stream.acknowledge("default");
  stream.acknowledge("default", "ROOTCA");
  expect(secretsOf(await stream.response(1)).map(({ name }) => name)).toEqual(["ROOTCA"]);
  stream.acknowledge("ROOTCA");
  stream.acknowledge("ROOTCA", "default");
  expect(secretsOf(await stream.response(2)).map(({ name }) => name)).toEqual(["default"]);
  expect(stream.responses).toHaveLength(3);
});

test("a request without a nonce is always answered", async () => {
  await using sds = await start();
  const stream = sds.client.open();
  stream.ask("ROOTCA");
  stream.ask("ROOTCA");
  stream.ask("default");
  await stream.response(2);
  expect(stream.responses.flatMap(secretsOf).map(({ name }) => name)).toEqual(["ROOTCA", "ROOTCA", "default"]);
});

test("a reconnecting Envoy with the nonce and version of another stream is answered", async () => {
  await using sds = await start();
  const first = sds.client.open();
  first.ask("default");
  const { nonce, versionInfo } = await first.response(0);
  const second = sds.client.open();
  second.send({ node: { id: "a" }, resourceNames: ["default"], responseNonce: nonce, versionInfo });
  await second.response(0);
});

test("no names end the watch, a later request begins it again", async () => {
  await using sds = await start();
  const stream = sds.client.open();
  stream.ask("default");
  await stream.response(0);
  stream.acknowledge();
  await expect.poll(() => sds.listeners()).toBe(0);
  sds.change("default");
  stream.acknowledge("default");
  await stream.response(1);
  expect(stream.responses).toHaveLength(2);
});

test("an old nonce is ignored and counted", async () => {
  await using sds = await start();
  const stream = sds.client.open();
  stream.ask("default");
  await stream.response(0);
  stream.send({ resourceNames: ["default", "ROOTCA"], responseNonce: "old" });
  await expect.poll(() => sds.metric("pilot_xds_expired_nonce")).toContain('{type="sds"} 1');
  expect(stream.responses).toHaveLength(1);
});

test("a refusal is logged and counted, and changes nothing", async () => {
  await using sds = await start();
  const stream = sds.client.open();
  stream.ask("default");
  const { nonce } = await stream.response(0);
  stream.send({ resourceNames: ["default"], responseNonce: nonce, errorDetail: { code: 13, message: "bad key" } });
  await expect.poll(() => sds.metric("pilot_total_xds_rejects")).toContain('{type="sds"} 1');
  sds.change("default");
  await stream.response(1);
});

test("a refusal as the first message harms nobody", async () => {
  await using sds = await start();
  const stream = sds.client.open();
  stream.send({ node: { id: "a" }, errorDetail: { code: 13, message: "out of the blue" } });
  stream.ask("default");
  await stream.response(0);
});

test("a first message without a node id ends the stream", async () => {
  await using sds = await start();
  const stream = sds.client.open();
  stream.send({ resourceNames: ["default"] });
  expect(await stream.ended).toMatchObject({ code: 3, details: "missing node information" });
});

test("a secret that cannot be had ends the stream with its name and reason; a passing reason is UNAVAILABLE", async () => {
  await using sds = await start();
  sds.failWith(new AgentError("SECRET_UNKNOWN", "no such thing"));
  const unknown = sds.client.open();
  unknown.ask("foo");
  expect(await unknown.ended).toMatchObject({ code: 2, details: "failed to generate secret for foo: no such thing" });
  sds.failWith(new AgentError("CA_UNREACHABLE", "nobody home"));
  const unreachable = sds.client.open();
  unreachable.ask("default");
  expect(await unreachable.ended).toMatchObject({ code: 14 });
  sds.failWith(undefined);
  const recovered = sds.client.open();
  recovered.ask("default");
  await recovered.response(0);
});

test("a change is pushed to the streams that watch the name, and to no other", async () => {
  await using sds = await start();
  const [workload, roots] = [sds.client.open(), sds.client.open()];
  workload.ask("default");
  roots.ask("ROOTCA");
  await Promise.all([workload.response(0), roots.response(0)]);
  sds.change("default");
  expect(secretsOf(await workload.response(1)).map(({ name }) => name)).toEqual(["default"]);
  sds.change("ROOTCA");
  await roots.response(1);
  expect(workload.responses).toHaveLength(2);
});

test("a push whose bytes the stream already has is not sent, and a burst becomes one", async () => {
  await using sds = await start();
  const stream = sds.client.open();
  stream.ask("default");
  await stream.response(0);
  for (let i = 0; i < 10; i++) sds.notify("default");
  sds.change("default", 10);
  await stream.response(1);
  stream.acknowledge("default", "ROOTCA");
  expect(secretsOf(await stream.response(2)).map(({ name }) => name)).toEqual(["ROOTCA"]);
});

test("a push that fails ends the stream, without a removal", async () => {
  await using sds = await start();
  const stream = sds.client.open();
  stream.ask("default");
  await stream.response(0);
  sds.failWith(new AgentError("FILE_UNREADABLE", "gone"));
  sds.notify("default");
  expect(await stream.ended).toMatchObject({ code: 2, details: "failed to generate secret for default: gone" });
  expect(stream.responses).toHaveLength(1);
});

test("the other two methods are not implemented, and say so", async () => {
  await using sds = await start();
  expect(await sds.client.call("DeltaSecrets")).toMatchObject({ code: 12, details: "DeltaSecrets not implemented" });
  expect(await sds.client.call("FetchSecrets")).toMatchObject({ code: 12, details: "FetchSecrets not implemented" });
});

test("a key provider gets the key inside its own message, with the whole poll delay", async () => {
  await using sds = await start({ kind: "cryptomb", pollDelayMs: 1_500, fallback: true });
  const stream = sds.client.open();
  stream.ask("default");
  const [secret] = secretsOf(await stream.response(0));
  if (secret?.type.case !== "tlsCertificate") throw new Error("no certificate");
  expect(secret.type.value.privateKey).toBeUndefined();
  const provider = secret.type.value.privateKeyProvider;
  expect(provider).toMatchObject({ providerName: "cryptomb", fallback: true });
  const config =
    provider?.configType.value && anyUnpack(provider.configType.value, CryptoMbPrivateKeyMethodConfigSchema);
  expect(config?.pollDelay).toMatchObject({ seconds: 1n, nanos: 500_000_000 });
  expect(config?.privateKey?.specifier.case).toBe("inlineBytes");
});

test("a connection that came before anyone served is served", async () => {
  await using world = await createWorld();
  await using socket = await bindUnix(join(world.cwd, "s"));
  await using client = connectSds(socket.address);
  const stream = client.open();
  stream.ask("default");
  const raw = connect(socket.address);
  await new Promise((resolve) => raw.once("connect", resolve));
  await using _server = await serveSds({
    socket,
    secrets: fakeSecrets(),
    log: silentLogger,
    metrics: createMetrics("istio_agent_"),
  });
  await stream.response(0);
  raw.destroy();
});

test("five hundred streams opened and closed in a storm are all answered and leave nothing behind", async () => {
  await using sds = await start();
  const before = await leftovers();
  for (let round = 0; round < 5; round++) {
    const streams = Array.from({ length: 100 }, () => sds.client.open());
    for (const [index, stream] of streams.entries()) stream.ask(index % 2 === 0 ? "default" : "ROOTCA");
    await Promise.all(streams.map((stream) => stream.response(0)));
    for (const stream of streams) stream.cancel();
    await Promise.all(streams.map((stream) => stream.ended));
  }
  await expect.poll(() => sds.listeners()).toBe(0);
  const after = await leftovers();
  expect(after.handles - before.handles).toBeLessThanOrEqual(2); // the one connection, both ends of it
  expect(after.heapMb - before.heapMb).toBeLessThan(10);
});

test("streams that are cancelled while their secret is on its way leave nothing behind", async () => {
  await using sds = await start();
  sds.holdBack();
  const streams = Array.from({ length: 50 }, () => sds.client.open());
  for (const stream of streams) stream.ask("default");
  await expect.poll(() => sds.listeners()).toBe(50);
  for (const stream of streams) stream.cancel();
  await expect.poll(() => sds.listeners()).toBe(0);
  sds.release();
});

async function leftovers(): Promise<{ handles: number; heapMb: number }> {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  for (let i = 0; i < 3; i++) {
    await new Promise((resolve) => setImmediate(resolve));
    collect();
  }
  return { handles: process.getActiveResourcesInfo().length, heapMb: process.memoryUsage().heapUsed / 2 ** 20 };
}

interface Sds extends AsyncDisposable, FakeSecrets {
  readonly client: ReturnType<typeof connectSds>;
  metric(name: string): string;
}

interface FakeSecrets {
  get(name: string): Promise<SecretItem>;
  subscribe(name: string, listener: () => void): () => void;
  listeners(): number;
  notify(name: string): void;
  /** Notifies after each of `times` changes. */
  change(name: string, times?: number): void;
  failWith(error: Error | undefined): void;
  holdBack(): void;
  release(): void;
}

async function start(keyProvider?: KeyProvider): Promise<Sds> {
  const world: World = await createWorld();
  const metrics = createMetrics("istio_agent_");
  const socket = await bindUnix(join(world.cwd, "s"));
  const secrets = fakeSecrets();
  const provider = keyProvider === undefined ? {} : { keyProvider };
  const server = await serveSds({ socket, secrets, log: silentLogger, metrics, ...provider });
  const client = connectSds(socket.address);
  return {
    ...secrets,
    client,
    metric: (name) =>
      metrics
        .render()
        .split("\n")
        .find((line) => line.startsWith(`istio_agent_${name}`)) ?? "",
    async [Symbol.asyncDispose]() {
      for (const part of [client, server, socket, world]) await part[Symbol.asyncDispose]();
    },
  };
}

/** The server's one neighbour, reduced to what it needs. */
function fakeSecrets(): FakeSecrets {
  const listeners = new Set<{ name: string; listener: () => void }>();
  const versions = new Map<string, number>();
  let failure: Error | undefined;
  let gate: Promise<void> | undefined;
  let release = (): void => undefined;
  const notify = (name: string): void => {
    for (const entry of [...listeners]) if (entry.name === name) entry.listener();
  };
  return {
    async get(name) {
      await gate;
      if (failure !== undefined) throw failure;
      const bytes = Buffer.from(`${name} ${versions.get(name) ?? 0}`);
      return name === "ROOTCA"
        ? { kind: "roots", name, roots: bytes }
        : { kind: "certificate", name, certChain: bytes, key: new Secret("key"), notAfterMs: 0 };
    },
    subscribe(name, listener) {
      const entry = { name, listener };
      listeners.add(entry);
      return () => void listeners.delete(entry);
    },
    listeners: () => listeners.size,
    notify,
    change(name, times = 1) {
      for (let i = 0; i < times; i++) {
        versions.set(name, (versions.get(name) ?? 0) + 1);
        notify(name);
      }
    },
    failWith: (error) => {
      failure = error;
    },
    holdBack() {
      gate = new Promise((resolve) => {
        release = resolve;
      });
    },
    release: () => release(),
  };
}
