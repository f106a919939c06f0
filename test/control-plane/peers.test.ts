import { once } from "node:events";
import { connect, type OutgoingHttpHeaders } from "node:http2";
import { setTimeout } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { create, toBinary } from "@bufbuild/protobuf";
import { Client, compressionAlgorithms, credentials, Metadata } from "@grpc/grpc-js";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { CLUSTER_TYPE } from "../../src/control-plane/ads/resource-types.ts";
import { DiscoveryRequestSchema } from "../../src/proto/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { framed } from "../grpc-stream/framed.ts";
import { answerOf } from "../grpc-stream/h2.ts";
import { node, type Rig, startRig } from "./rig.ts";

const ADS = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources";
const CA = "/istio.v1.auth.IstioCertificateService/CreateCertificate";

let rig: Rig;
let token: string;
beforeAll(async () => {
  rig = await startRig({});
  token = (await rig.controlPlane.mintToken({ namespace: "default", serviceAccount: "web" })).revealText();
});
afterAll(() => rig?.[Symbol.asyncDispose]());

const REQUEST = toBinary(
  DiscoveryRequestSchema,
  create(DiscoveryRequestSchema, { node: node(), typeUrl: CLUSTER_TYPE }),
);

/** A call by hand, with these bytes as its body. */
async function call(path: string, body: Uint8Array, headers: OutgoingHttpHeaders = {}) {
  const session = connect(`https://localhost:${rig.controlPlane.port}`, { ca: rig.controlPlane.rootPem });
  onTestFinished(() => session.destroy());
  const stream = session.request({
    ...{ ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers" },
    authorization: `Bearer ${token}`,
    ...headers,
  });
  stream.end(body);
  const answer = await answerOf(stream);
  const told = { ...answer.headers, ...answer.trailers };
  return { code: Number(told["grpc-status"]), message: String(told["grpc-message"] ?? ""), body: answer.body, told };
}

test("a method of one request is UNIMPLEMENTED for none and for two", async () => {
  const request = framed(Buffer.alloc(0));
  expect(await call(CA, Buffer.alloc(0))).toMatchObject({ code: 12, message: "CreateCertificate takes a request" });
  expect(await call(CA, Buffer.concat([request, request]))).toMatchObject({
    code: 12,
    message: "CreateCertificate takes one request",
  });
});

test.each([ADS, CA])(
  "bytes that are no message are INTERNAL, and an unknown method is UNIMPLEMENTED (%s)",
  async (path) => {
    const broken = await call(path, framed(Buffer.from([0xff])));
    expect(broken).toMatchObject({ code: 13, message: expect.stringMatching(/^the message is no \S+Request: /) });
    expect(await call(`${path}s`, framed(Buffer.alloc(0)))).toMatchObject({ code: 12 });
  },
);

test("gzip is read, and another compression is UNIMPLEMENTED with the known ones in a header", async () => {
  const packed = framed(gzipSync(REQUEST), 1);
  const read = await call(ADS, packed, { "grpc-encoding": "gzip" });
  expect([read.code, read.body.length > 5]).toEqual([0, true]);
  const { code, told } = await call(ADS, packed, { "grpc-encoding": "snappy" });
  expect([code, told["grpc-accept-encoding"]]).toEqual([12, "identity,deflate,gzip"]);
});

test("grpc-js that compresses and has a deadline is answered, and its deadline ends the call on both sides", async () => {
  const { port, rootPem } = rig.controlPlane;
  const options = { "grpc.default_compression_algorithm": compressionAlgorithms.gzip };
  const client = new Client(`localhost:${port}`, credentials.createSsl(Buffer.from(rootPem)), options);
  onTestFinished(() => client.close());
  const metadata = new Metadata();
  metadata.set("authorization", `Bearer ${token}`);
  const same = (bytes: Buffer): Buffer => bytes;
  const stream = client.makeBidiStreamRequest(ADS, same, same, metadata, { deadline: Date.now() + 2_000 });
  const status = new Promise((resolve) => stream.once("status", resolve));
  const answered = new Promise((resolve) => stream.on("error", () => undefined).once("data", resolve));
  stream.write(Buffer.from(REQUEST));
  await answered;
  expect(rig.controlPlane.connected()).toEqual([node().id]);
  expect(await status).toMatchObject({ code: 4 });
  await expect.poll(() => rig.controlPlane.connected()).toEqual([]);
});

/** An open call by hand whose answers nobody reads. */
function unreadCall(path: string) {
  const session = connect(`https://localhost:${rig.controlPlane.port}`, { ca: rig.controlPlane.rootPem });
  onTestFinished(() => session.destroy());
  const stream = session.request({
    ...{ ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers" },
    authorization: `Bearer ${token}`,
  });
  return stream.on("error", () => undefined);
}

test("a caller that asks on and never reads is not read either", async () => {
  const stream = unreadCall(ADS);
  const hundred = Buffer.concat(Array.from({ length: 100 }, () => framed(REQUEST)));
  let isHeld = false;
  for (let sent = 0; sent < 1_000 && !isHeld; sent++) {
    if (stream.write(hundred)) continue;
    const drained = once(stream, "drain").then(() => false);
    isHeld = await Promise.race([drained, setTimeout(1_000, true)]);
  }
  expect(isHeld).toBe(true);
  let bytes = 0;
  stream.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
  });
  await once(stream, "drain"); // who begins to read is served again
  expect(bytes).toBeGreaterThan(0);
});
