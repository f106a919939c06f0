import { connect } from "node:net";
import { create, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { DiscoveryResponseSchema } from "../../src/proto/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { type AdsClient, type AdsStream, connectAds } from "../support/ads-client.ts";
import { startFakeIstiod } from "../support/fake-istiod.ts";
import { CDS, LDS, NDS, startRig } from "./relay-rig.ts";

test.each(["sotw", "delta"] as const)("clusters and listeners are asked for and answered (%s)", async (variant) => {
  await using istiod = await startFakeIstiod();
  await using rig = await startRig(istiod.port);
  const envoy = rig.connect().open(variant);
  envoy.request({ typeUrl: CDS, node: "sidecar~1.1.1.1~a.b~b.svc" });
  envoy.request({ typeUrl: LDS });
  await expect.poll(() => istiod.streams[0]?.requests.map((request) => request.typeUrl)).toEqual([CDS, LDS]);
  const stream = istiod.streams[0];
  expect(stream?.variant).toBe(variant);
  for (const typeUrl of [CDS, LDS]) {
    if (variant === "sotw") stream?.send({ typeUrl, nonce: `n-${typeUrl}`, versionInfo: "1" });
    else stream?.sendDelta({ typeUrl, nonce: `n-${typeUrl}` });
  }
  await expect.poll(() => envoy.responses.map((response) => response.typeUrl)).toEqual([CDS, LDS]);
  expect(rig.relay.state().upstream.kind).toBe("responding");
  expect(rig.relay.trouble()?.text).toBeUndefined();
  expect(rig.metric("xds_proxy_requests")).toBe("istio_agent_xds_proxy_requests 2");
  expect(rig.metric("xds_proxy_responses")).toBe("istio_agent_xds_proxy_responses 2");
  expect(rig.metrics()).toMatch(/^istio_agent_xds_relay_bytes_total\{direction="to_control_plane"\} [1-9]\d*$/m);
  expect(rig.metrics()).toMatch(/^istio_agent_xds_relay_bytes_total\{direction="to_envoy"\} [1-9]\d*$/m);
  expect(rig.metrics()).toContain('istio_agent_xds_state{type="CDS",state="STALE"} 1\n');
  expect(rig.metrics()).toContain('istio_agent_xds_state{type="LDS",state="SYNCED"} 0\n');
  expect(rig.metrics()).toContain('istio_agent_xds_resources{type="CDS"} 0\n');
});

test("call metadata carries the cluster id, also an empty one, and the configured headers", async () => {
  await using istiod = await startFakeIstiod();
  await using rig = await startRig(istiod.port, {
    upstream: {
      clusterId: "",
      headers: [
        ["foo", "a=b"],
        ["Trace-bin", Buffer.from("bytes").toString("base64")],
        ["not a header", "x"],
        ["Connection", "close"],
      ],
      credentials: { tls: async () => "plaintext", metadata: async () => [["authorization", "Bearer t1"]] },
    },
  });
  rig.connect().open("delta").request({ typeUrl: CDS });
  await expect.poll(() => istiod.streams.length).toBe(1);
  const metadata = istiod.streams[0]?.metadata;
  expect(metadata?.get("clusterid")).toEqual([""]);
  expect(metadata?.get("foo")).toEqual(["a=b"]);
  expect(metadata?.get("trace-bin")).toEqual([Buffer.from("bytes")]);
  expect(metadata?.get("authorization")).toEqual(["Bearer t1"]);
  for (const name of ["not a header", "Connection"]) {
    const fields = `variable=XDS_HEADER_${name} name=${name}`;
    expect(rig.log).toContain(`warn\txdsproxy\tcall metadata left out: not a valid header\t${fields}`);
  }
});

test("unknown fields pass unchanged, byte for byte, both ways", async () => {
  await using istiod = await startFakeIstiod();
  await using rig = await startRig(istiod.port);
  const envoy = rig.connect().open("sotw");
  const unknown = new BinaryWriter()
    .tag(99, WireType.LengthDelimited)
    .string("later")
    .tag(98, WireType.Bit64)
    .fixed64(7);
  const request = unknown.tag(4, WireType.LengthDelimited).string(CDS).tag(97, WireType.Varint).uint32(5).finish();
  envoy.sendRaw(request);
  await expect.poll(() => istiod.streams[0]?.received).toEqual([Buffer.from(request)]);
  istiod.streams[0]?.sendRaw(request); // the type URL has the same number in both directions
  await expect.poll(() => envoy.received).toEqual([Buffer.from(request)]);
});

test("bytes that are no request pass, and disturb nobody", async () => {
  await using istiod = await startFakeIstiod();
  await using rig = await startRig(istiod.port);
  const envoy = rig.connect().open("delta");
  envoy.sendRaw(Buffer.alloc(3));
  envoy.request({ typeUrl: CDS });
  await expect.poll(() => istiod.streams[0]?.received.length).toBe(2);
});

test("a response that is no protobuf ends the stream with INTERNAL", async () => {
  await using istiod = await startFakeIstiod({ onStream: (stream) => void stream.sendRaw(Buffer.alloc(3)) });
  await using rig = await startRig(istiod.port);
  expect((await rig.connect().open("delta").ended).code).toBe(13);
});

test("what is no Envoy type is dropped, and the stream stays", async () => {
  await using istiod = await startFakeIstiod();
  await using rig = await startRig(istiod.port);
  const envoy = rig.connect().open("delta");
  envoy.request({ typeUrl: CDS });
  await expect.poll(() => istiod.streams.length).toBe(1);
  const address = "type.googleapis.com/istio.workload.Address";
  const workload = "type.googleapis.com/istio.workload.Workload";
  for (const typeUrl of [address, "istio.io/debug", NDS, workload])
    istiod.streams[0]?.sendDelta({ typeUrl, nonce: "1" });
  await expect.poll(() => envoy.responses.map((response) => response.typeUrl)).toEqual([workload]);
  expect(rig.log).toContain(
    `error\txdsproxy\tSkipping forwarding type url ${address} to Envoy as is not a valid Envoy type\tid=1`,
  );
});

test.each(["sotw", "delta"] as const)(
  "the name table is subscribed to once, handled and acknowledged (%s)",
  async (variant) => {
    const tables: string[] = [];
    await using istiod = await startFakeIstiod();
    await using rig = await startRig(istiod.port, {
      intercept: {
        [NDS]: (bytes) => {
          if (bytes[0] === 0xff) throw new Error("cannot decode the name table");
          tables.push(Buffer.from(bytes).toString());
        },
      },
    });
    const envoy = rig.connect().open(variant);
    for (const typeUrl of [CDS, LDS, LDS]) envoy.request({ typeUrl });
    const types = () => istiod.streams[0]?.requests.map((request) => request.typeUrl);
    await expect.poll(types).toEqual([CDS, LDS, NDS, LDS]);
    const push = (nonce: string, typeUrl: string | undefined, value: Uint8Array) => {
      const resources = typeUrl === undefined ? [] : [create(AnySchema, { typeUrl, value })];
      if (variant === "sotw") istiod.streams[0]?.send({ typeUrl: NDS, nonce, versionInfo: `v-${nonce}`, resources });
      else
        istiod.streams[0]?.sendDelta({ typeUrl: NDS, nonce, resources: resources.map((resource) => ({ resource })) });
    };
    push("good", NDS, Buffer.from("table"));
    push("bad", NDS, Buffer.from([0xff]));
    push("wrong", CDS, Buffer.from("x"));
    push("empty", undefined, Buffer.alloc(0));
    const answers = () => istiod.streams[0]?.requests.slice(4);
    await expect
      .poll(() => answers()?.map((request) => request.responseNonce))
      .toEqual(["good", "bad", "wrong", "empty"]);
    expect(answers()?.map((request) => request.errorDetail?.message)).toEqual([
      undefined,
      "cannot decode the name table",
      `resource is of type "${CDS}", not "${NDS}"`,
      undefined,
    ]);
    expect(answers()?.[1]?.errorDetail?.code).toBe(13);
    expect(tables).toEqual(["table"]);
    const versions = answers()?.map((request) => ("versionInfo" in request ? request.versionInfo : ""));
    // a rejection repeats the last version in use
    expect(versions).toEqual(variant === "sotw" ? ["v-good", "v-good", "v-good", "v-empty"] : ["", "", "", ""]);
    expect(envoy.received).toEqual([]);
  },
);

test("what Envoy rejects is one warning with its words, and trouble until it accepts", async () => {
  await using istiod = await startFakeIstiod();
  await using rig = await startRig(istiod.port);
  const envoy = rig.connect().open("sotw");
  envoy.request({ typeUrl: CDS });
  await expect.poll(() => istiod.streams.length).toBe(1);
  istiod.streams[0]?.send({ typeUrl: CDS, nonce: "n1", versionInfo: "v1" });
  await expect.poll(() => envoy.received.length).toBe(1);
  const nack = { typeUrl: CDS, nonce: "n1", versionInfo: "v0", rejection: "cluster a: bad address\n" };
  envoy.request(nack);
  envoy.request(nack);
  await expect.poll(() => istiod.streams[0]?.requests.length).toBe(3);
  expect(rig.log.filter((line) => line.startsWith("warn"))).toEqual([
    `warn\txdsproxy\tEnvoy rejected configuration\tid=1 typeUrl=${CDS} nonce=n1 versionInfo=v0 message=cluster a: bad address`,
  ]);
  expect(rig.relay.trouble()?.text).toBe(`Envoy rejected ${CDS}: cluster a: bad address`);
  envoy.request({ typeUrl: CDS, nonce: "n2", versionInfo: "v2" });
  await expect.poll(() => rig.relay.trouble()?.text).toBeUndefined();
});

test("what Envoy rejects is told without the secrets that it quotes, and the control plane gets Envoy's own words", async () => {
  await using istiod = await startFakeIstiod();
  await using rig = await startRig(istiod.port);
  const envoy = rig.connect().open("sotw");
  envoy.request({ typeUrl: CDS });
  await expect.poll(() => istiod.streams.length).toBe(1);
  istiod.streams[0]?.send({ typeUrl: CDS, nonce: "n1", versionInfo: "v1" });
  await expect.poll(() => envoy.received.length).toBe(1);
  const rejection = 'cluster a: bad header "Bearer abcdef0123456789"';
  envoy.request({ typeUrl: CDS, nonce: "n1", versionInfo: "v0", rejection });
  await expect.poll(() => istiod.streams[0]?.requests.length).toBe(2);
  expect(istiod.streams[0]?.requests[1]?.errorDetail?.message).toBe(rejection);
  await expect.poll(() => rig.relay.trouble()?.text).toMatch(/cluster a: bad header/);
  const told = JSON.stringify([rig.log, rig.relay.trouble(), rig.relay.state(), rig.relay.types()]);
  expect(told).toContain("REJECTED");
  expect(told).not.toContain("abcdef0123456789");
});

test("Envoy half-closes: it gets OK, the control plane's stream ends, a new stream works", async () => {
  await using istiod = await startFakeIstiod();
  await using rig = await startRig(istiod.port);
  const client = rig.connect();
  const first = client.open("delta");
  first.request({ typeUrl: CDS });
  await expect.poll(() => istiod.streams.length).toBe(1);
  first.end();
  expect((await first.ended).code).toBe(0);
  await expect.poll(() => istiod.streams[0]?.isClosed).toBe(true);
  client.open("delta").request({ typeUrl: CDS });
  await expect.poll(() => istiod.streams.length).toBe(2);
  expect(rig.log.filter((line) => line.includes("overlapping"))).toEqual([]);
  expect(rig.metric("envoy_connection_terminations")).toContain('{type="cancelled"} 1');
});

test("a second stream ends the first with OK, and outlives the first connection", async () => {
  await using istiod = await startFakeIstiod();
  await using rig = await startRig(istiod.port);
  const firstClient = rig.connect();
  const first = firstClient.open("sotw");
  first.request({ typeUrl: CDS });
  await expect.poll(() => istiod.streams.length).toBe(1);
  const second = rig.connect().open("delta");
  second.request({ typeUrl: CDS });
  expect((await first.ended).code).toBe(0);
  expect(rig.log).toContain("warn\txdsproxy\tregistered overlapping stream; closing previous");
  firstClient[Symbol.dispose]();
  await expect.poll(() => istiod.streams.length).toBe(2);
  istiod.streams[1]?.sendDelta({ typeUrl: CDS, nonce: "1" });
  await expect.poll(() => second.received.length).toBe(1);
  expect(rig.relay.state().upstream.kind).toBe("responding");
});

test("Envoy breaks its stream off: the control plane's ends as well, the next works", async () => {
  await using istiod = await startFakeIstiod();
  await using rig = await startRig(istiod.port);
  const first = rig.connect().open("delta");
  first.request({ typeUrl: CDS });
  await expect.poll(() => istiod.streams.length).toBe(1);
  first.cancel();
  await expect.poll(() => istiod.streams[0]?.isClosed).toBe(true);
  rig.connect().open("delta").request({ typeUrl: CDS });
  await expect.poll(() => istiod.streams.length).toBe(2);
  expect(rig.log.filter((line) => line.startsWith("warn"))).toEqual([]);
});

test("the control plane's last messages arrive before its end", async () => {
  await using istiod = await startFakeIstiod({
    onStream(stream) {
      const value = Buffer.alloc(9_000_000);
      const large = create(DiscoveryResponseSchema, { typeUrl: CDS, nonce: "1", resources: [{ typeUrl: CDS, value }] });
      stream.sendRaw(toBinary(DiscoveryResponseSchema, large));
      stream.send({ typeUrl: CDS, nonce: "2" });
      stream.end();
    },
  });
  await using rig = await startRig(istiod.port);
  const envoy = rig.connect().open("sotw");
  expect((await envoy.ended).code).toBe(0);
  expect(envoy.responses.map((response) => response.nonce)).toEqual(["1", "2"]);
  expect(rig.metric("istiod_connection_terminations")).toContain('{type="cancelled"} 1');
  expect(rig.log.filter((line) => line.startsWith("warn"))).toEqual([]);
});

test("closing the relay ends open streams", async () => {
  await using istiod = await startFakeIstiod();
  const rig = await startRig(istiod.port);
  const envoy = rig.connect().open("delta");
  envoy.request({ typeUrl: CDS });
  await expect.poll(() => istiod.streams.length).toBe(1);
  await rig[Symbol.asyncDispose]();
  await envoy.ended;
  await expect.poll(() => istiod.streams[0]?.isClosed).toBe(true);
});

test("a stream that Envoy opened before the relay was there is served", async () => {
  await using istiod = await startFakeIstiod();
  let early: AdsStream | undefined;
  let client: AdsClient | undefined;
  await using rig = await startRig(istiod.port, {}, async (socketPath) => {
    client = connectAds(socketPath);
    early = client.open("delta");
    early.request({ typeUrl: CDS });
    const probe = connect(socketPath); // Envoy's bytes came first: they wait in the socket by now
    await new Promise((resolve) => probe.once("connect", resolve));
    probe.destroy();
  });
  await expect.poll(() => istiod.streams[0]?.requests.length).toBe(1);
  istiod.streams[0]?.sendDelta({ typeUrl: CDS, nonce: "1" });
  await expect.poll(() => early?.received.length).toBe(1);
  expect(rig.relay.state().upstream.kind).toBe("responding");
  client?.[Symbol.dispose]();
});
