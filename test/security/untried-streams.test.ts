import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { bindUnix, createMetrics, Secret, silentLogger } from "../../src/base/index.ts";
import { serveSds } from "../../src/identity/index.ts";
import type { SecretItem } from "../../src/identity/secrets/secret-item.ts";
import { DiscoveryRequestSchema } from "../../src/proto/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { createWorld } from "../identity/world.ts";
import { connectSds } from "../support/sds-client.ts";

const RESOURCE_EXHAUSTED = 8;

/** A server whose secrets come when `open` is called. */
async function start() {
  const world = await createWorld();
  const socket = await bindUnix(join(world.cwd, "s"));
  const listeners = new Set<() => void>();
  let release = (): void => undefined;
  let gate: Promise<void> | undefined;
  let version = 0;
  const secrets = {
    async get(name: string): Promise<SecretItem> {
      await gate;
      const certChain = Buffer.from(`${name} ${version}`);
      return { kind: "certificate", name, certChain, key: new Secret("key"), notAfterMs: 0 };
    },
    subscribe(_name: string, listener: () => void) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
  const server = await serveSds({ socket, secrets, log: silentLogger, metrics: createMetrics("istio_agent_") });
  return {
    address: socket.address,
    watched: () => listeners.size,
    rotations: () => version,
    close() {
      gate = new Promise((done) => (release = done));
    },
    open: () => release(),
    rotate() {
      version++;
      for (const listener of [...listeners]) listener();
    },
    async [Symbol.asyncDispose]() {
      release();
      for (const part of [server, socket, world]) await part[Symbol.asyncDispose]();
    },
  };
}

test("hostile untried: 10,000 held SDS streams keep no other from its certificate, and a rotation reaches them all", async () => {
  await using sds = await start();
  await using hoarder = connectSds(sds.address);
  const before = process.memoryUsage().rss;
  const held = Array.from({ length: 10_000 }, () => hoarder.open());
  for (const stream of held) stream.ask("default");
  await Promise.all(held.map((stream) => stream.response(0)));
  expect(sds.watched()).toBe(10_000);
  await using envoy = connectSds(sds.address);
  const stream = envoy.open();
  stream.ask("default");
  await stream.response(0);
  sds.rotate();
  await stream.response(1);
  await Promise.all(held.map((one) => one.response(1)));
  expect((process.memoryUsage().rss - before) / 2 ** 20).toBeLessThan(900); // both ends are in this process
}, 180_000);

test("hostile untried: 100,000 names in one SDS request end its stream, before anything is looked up or watched", async () => {
  await using sds = await start();
  await using client = connectSds(sds.address);
  const stream = client.open();
  stream.ask(...Array.from({ length: 100_000 }, (_, at) => `file-root:/nowhere/${at}`));
  expect(await stream.ended).toMatchObject({ code: RESOURCE_EXHAUSTED, details: "more than 1000 names" });
  expect(sds.watched()).toBe(0);
});

test("hostile untried: requests without end, while the CA is silent, end their stream and no other", async () => {
  await using sds = await start();
  sds.close();
  await using client = connectSds(sds.address);
  const [greedy, patient] = [client.open(), client.open()];
  patient.ask("default");
  for (let count = 0; count < 1_000; count++) greedy.ask("default");
  expect((await greedy.ended).code).toBe(RESOURCE_EXHAUSTED);
  sds.open();
  await patient.response(0);
});

test("hostile untried: a peer that asks and never reads is given up, and what it was owed with it", async () => {
  await using sds = await start();
  const session = connectHttp2("http://sds", { createConnection: () => connect(sds.address) });
  session.on("error", () => undefined);
  const stream = session.request({
    ":method": "POST",
    ":path": "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets",
    "content-type": "application/grpc",
    te: "trailers",
  });
  stream.on("error", () => undefined);
  const request = create(DiscoveryRequestSchema, { node: { id: "n" }, resourceNames: ["default"] });
  const message = Buffer.from(toBinary(DiscoveryRequestSchema, request));
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  stream.write(Buffer.concat([head, message]));
  await expect.poll(() => sds.watched()).toBe(1);
  while (sds.watched() === 1 && sds.rotations() < 20_000) {
    sds.rotate(); // each is pushed
    await nextTurn();
  }
  expect(sds.rotations()).toBeLessThan(20_000);
  session.destroy();
});
