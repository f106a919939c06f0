import { create, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import {
  DiscoveryRequestSchema,
  DiscoveryResponseSchema,
} from "../../src/proto/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { startFakeIstiod } from "../support/fake-istiod.ts";
import { CDS, startRig } from "./relay-rig.ts";

const MIB = 1_048_576;

function response(nonce: number, bytes: number): Uint8Array {
  const resources = [{ typeUrl: CDS, value: Buffer.alloc(bytes) }];
  return toBinary(
    DiscoveryResponseSchema,
    create(DiscoveryResponseSchema, { typeUrl: CDS, nonce: String(nonce), resources }),
  );
}

test("an Envoy that does not read is pushed no further, while its own requests go through", async () => {
  await using istiod = await startFakeIstiod();
  await using rig = await startRig(istiod.port);
  const envoy = rig.connect().open("sotw");
  envoy.request({ typeUrl: CDS });
  await expect.poll(() => istiod.streams.length).toBe(1);
  const stream = istiod.streams[0];
  envoy.pause();
  for (let nonce = 1; nonce <= 50; nonce++) stream?.sendRaw(response(nonce, MIB)); // they queue in the fake
  for (let count = 0; count < 1_000; count++) envoy.request({ typeUrl: CDS, nonce: `ack-${count}` });
  await expect.poll(() => stream?.requests.length).toBe(1_001);
  const taken = Number(rig.metric("xds_proxy_responses")?.split(" ")[1]);
  expect(taken).toBeLessThanOrEqual(4);
  envoy.resume();
  await expect.poll(() => envoy.received.length, { timeout: 20_000 }).toBe(50);
  expect(envoy.responses.map((one) => Number(one.nonce))).toEqual(Array.from({ length: 50 }, (_, at) => at + 1));
});

test("requests wait in order, none lost, while the control plane does not read", async () => {
  await using istiod = await startFakeIstiod({ onStream: (stream) => stream.pause() });
  await using rig = await startRig(istiod.port);
  const envoy = rig.connect().open("delta");
  const nonces = Array.from({ length: 1_000 }, (_, at) => `n${at}`);
  for (const nonce of nonces) envoy.request({ typeUrl: `${CDS}/${"x".repeat(1_000)}`, nonce });
  await expect.poll(() => rig.metric("xds_proxy_requests")).toBe("istio_agent_xds_proxy_requests 1000");
  istiod.streams[0]?.resume();
  await expect.poll(() => istiod.streams[0]?.requests.map((request) => request.responseNonce)).toEqual(nonces);
});

test("a request of 10 MiB passes by default", async () => {
  await using istiod = await startFakeIstiod();
  await using rig = await startRig(istiod.port);
  const envoy = rig.connect().open("sotw");
  const resourceNames = Array.from({ length: 10_240 }, (_, at) => `${at}`.padEnd(1_024, "x"));
  const request = toBinary(DiscoveryRequestSchema, create(DiscoveryRequestSchema, { typeUrl: CDS, resourceNames }));
  envoy.sendRaw(request);
  await expect.poll(() => istiod.streams[0]?.received[0]?.length, { timeout: 20_000 }).toBe(request.length);
});

test("two hundred streams one after the other leave no connection behind", async () => {
  await using istiod = await startFakeIstiod();
  await using rig = await startRig(istiod.port);
  const client = rig.connect();
  for (let count = 1; count <= 200; count++) {
    const envoy = client.open("delta");
    envoy.request({ typeUrl: CDS });
    await expect.poll(() => istiod.streams.length, { interval: 1 }).toBe(count);
    envoy.end();
    await envoy.ended;
  }
  await expect.poll(() => istiod.streams.filter((stream) => !stream.isClosed).length).toBe(0);
  await expect.poll(() => istiod.connectionCount()).toBe(0);
});
