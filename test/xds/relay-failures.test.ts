import { connect, createServer, type Socket } from "node:net";
import { expect, test } from "vitest";
import { bindTcp } from "../../src/base/index.ts";
import { connectAds } from "../support/ads-client.ts";
import { startFakeIstiod } from "../support/fake-istiod.ts";
import { freePorts } from "../support/ports.ts";
import { CDS, startRig } from "./relay-rig.ts";

test("a refusal reaches Envoy with its own code and words, though Envoy goes on sending", async () => {
  await using istiod = await startFakeIstiod({
    onStream: (stream) => stream.end({ code: 16, details: "token expired" }),
  });
  await using rig = await startRig(istiod.port);
  const client = rig.connect();
  const envoy = client.open("delta");
  for (let count = 0; count < 50; count++) envoy.request({ typeUrl: CDS });
  expect(await envoy.ended).toMatchObject({ code: 16, details: "token expired" });
  expect(rig.relay.trouble()?.text).toMatch(
    /^control plane "127\.0\.0\.1:\d+": UNAUTHENTICATED: token expired \(1 failed attempts in 0s, last 0s ago\)$/,
  );
  expect(rig.metric("istiod_connection_terminations")).toContain('{type="error"} 1');
});

test("a failure is logged when it is news, counted when it repeats, and closed when it is over", async () => {
  const [port = 0] = await freePorts(1);
  await using rig = await startRig(port);
  const client = rig.connect();
  for (let attempt = 0; attempt < 3; attempt++) {
    expect(await client.open("delta").ended).toMatchObject({
      code: 14,
      details: expect.stringContaining("ECONNREFUSED"),
    });
  }
  const warnings = () => rig.log.filter((line) => line.startsWith("warn"));
  expect(warnings()).toEqual([
    `warn\txdsproxy\tupstream terminated with unexpected error\tid=1 address=127.0.0.1:${port} code=UNAVAILABLE ` +
      `reason=connect ECONNREFUSED 127.0.0.1:${port} attempts=1 hint=is the control plane running?`,
  ]);
  expect(rig.relay.state().upstream).toMatchObject({ kind: "failed", failure: { attempts: 3 } });
  expect(rig.metric("istiod_connection_failures")).toBe("istio_agent_istiod_connection_failures 3");

  await using istiod = await startFakeIstiod({
    port,
    onStream: (stream) => stream.sendDelta({ typeUrl: CDS, nonce: "1" }),
  });
  expect(istiod.port).toBe(port);
  const envoy = client.open("delta");
  await expect.poll(() => envoy.received.length).toBe(1);
  expect(warnings()).toHaveLength(1);
  expect(rig.log).toContain(
    `info\txdsproxy\tupstream XDS server responds again: 127.0.0.1:${port}\tid=4 failedAttempts=3 ` +
      `lastReason=connect ECONNREFUSED 127.0.0.1:${port}`,
  );
  expect(rig.relay.trouble()?.text).toBeUndefined();
});

test("a control plane that swallows everything is UNAVAILABLE within the limit", async () => {
  const swallowed: Socket[] = [];
  const hole = createServer((socket) => swallowed.push(socket));
  await new Promise<void>((resolve) => hole.listen(0, "127.0.0.1", resolve));
  const address = hole.address();
  await using rig = await startRig(typeof address === "object" ? (address?.port ?? 0) : 0, {
    upstream: { connectTimeoutMs: 300 },
  });
  const envoy = rig.connect().open("delta");
  await expect.poll(() => rig.relay.trouble()?.text).toMatch(/^connecting to control plane/);
  expect(await envoy.ended).toMatchObject({
    code: 14,
    details: expect.stringMatching(/^no connection within 0\.\ds: the address does not answer$/),
  });
  for (const socket of swallowed) socket.destroy();
  hole.close();
});

test("a name that does not exist is the reason", async () => {
  await using rig = await startRig(0, { upstream: { address: "no-such-host.invalid:15012" } });
  const status = await rig.connect().open("delta").ended;
  expect(status.code).toBe(14);
  expect(rig.relay.trouble()?.text).toContain("no-such-host.invalid");
});

test("credentials that cannot be had are UNAUTHENTICATED, TLS that cannot be prepared is UNAVAILABLE", async () => {
  const failing = async (): Promise<never> => {
    throw new Error("token file is empty");
  };
  await using noToken = await startRig(1, {
    upstream: { credentials: { tls: async () => "plaintext", metadata: failing } },
  });
  expect(await noToken.connect().open("delta").ended).toMatchObject({
    code: 16,
    details: "cannot get credentials: token file is empty",
  });
  await using hanging = await startRig(1, {
    upstream: {
      connectTimeoutMs: 100,
      credentials: { tls: async () => "plaintext", metadata: () => new Promise(() => undefined) },
    },
  });
  expect(await hanging.connect().open("delta").ended).toMatchObject({
    code: 16,
    details: "cannot get credentials: timed out after 0.1s",
  });
  await using noTls = await startRig(1, { upstream: { credentials: { tls: failing, metadata: async () => [] } } });
  expect(await noTls.connect().open("delta").ended).toMatchObject({ code: 14 });
});

test("the control plane dies and another comes on the same port: Envoy's next stream works", async () => {
  const istiod = await startFakeIstiod();
  await using rig = await startRig(istiod.port);
  const client = rig.connect();
  const first = client.open("delta");
  first.request({ typeUrl: CDS });
  await expect.poll(() => istiod.streams.length).toBe(1);
  await istiod[Symbol.asyncDispose]();
  await first.ended;
  await using next = await startFakeIstiod({ port: istiod.port });
  client.open("delta").request({ typeUrl: CDS });
  await expect.poll(() => next.streams.length).toBe(1);
});

test("a request above the limit ends the stream with RESOURCE_EXHAUSTED and names the setting", async () => {
  await using istiod = await startFakeIstiod();
  await using rig = await startRig(istiod.port, { maxRequestBytes: 4_194_304 });
  const envoy = rig.connect().open("delta");
  envoy.sendRaw(Buffer.alloc(4_194_305));
  expect(await envoy.ended).toMatchObject({
    code: 8,
    details: "received message larger than max (4194305 vs. 4194304)",
  });
  expect(rig.log.find((line) => line.startsWith("warn"))).toContain("ISTIO_GPRC_MAXRECVMSGSIZE");
  expect(rig.metric("envoy_connection_terminations")).toContain('{type="error"} 1');
  expect(rig.metric("pilot_xds_recv_max")).toBe("istio_agent_pilot_xds_recv_max 4.194305e+06");
});

test("a method that is not ADS is UNIMPLEMENTED", async () => {
  await using port = await bindTcp("127.0.0.1", 0);
  await using rig = await startRig(port.port);
  expect(await rig.connect().call("/grpc.health.v1.Health/Check")).toMatchObject({ code: 12 });
});

test("a client that does not speak HTTP/2 is dropped, others are served", async () => {
  await using istiod = await startFakeIstiod();
  await using rig = await startRig(istiod.port);
  const stranger = connect(rig.socketPath);
  stranger.on("error", () => undefined).on("data", () => undefined);
  stranger.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  await new Promise((resolve) => stranger.once("close", resolve));
  rig.connect().open("delta").request({ typeUrl: CDS });
  await expect.poll(() => istiod.streams.length).toBe(1);
});

test("Envoy's connection breaks: the control plane's stream ends, the next connection works", async () => {
  await using istiod = await startFakeIstiod();
  await using rig = await startRig(istiod.port);
  const sockets: Socket[] = [];
  await using passage = await startPassage(rig.socketPath, sockets);
  const first = connectAds(passage.path);
  first.open("delta").request({ typeUrl: CDS });
  await expect.poll(() => istiod.streams.length).toBe(1);
  for (const socket of sockets) socket.destroy();
  await expect.poll(() => istiod.streams[0]?.isClosed).toBe(true);
  first[Symbol.dispose]();
  rig.connect().open("delta").request({ typeUrl: CDS });
  await expect.poll(() => istiod.streams.length).toBe(2);
});

/** A socket beside the relay's whose connections the test can cut. */
async function startPassage(target: string, sockets: Socket[]) {
  const path = `${target}.passage`;
  const server = createServer((near) => {
    const far = connect(target);
    for (const socket of [near, far]) sockets.push(socket.on("error", () => undefined));
    near.pipe(far).pipe(near);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return {
    path,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
