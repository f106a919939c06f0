import {
  connect,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from "node:http2";
import type { Writable } from "node:stream";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { describe, expect, test } from "vitest";
import { silentLogger } from "../../src/base/index.ts";
import { callSign } from "../../src/identity/ca/sign-call.ts";
import { startRig as startControlPlane } from "../control-plane/rig.ts";
import { peakMegabytes } from "../faults/rig.ts";
import { connectAds } from "../support/ads-client.ts";
import { runtimes } from "../support/pilotboat.ts";
import { createSandbox } from "../support/sandbox.ts";
import { CDS, startRig as startRelay } from "../xds/relay-rig.ts";
import { listenOn } from "./rig.ts";

const MEBIBYTE = 2 ** 20;
const ADS = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
const CA = "/istio.v1.auth.IstioCertificateService/CreateCertificate";

/** How gRPC frames a message: a flag for "compressed", the length, the bytes. */
function frameHead(isPacked: boolean, bytes: number): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(isPacked ? 1 : 0);
  head.writeUInt32BE(bytes, 1);
  return head;
}

/** A message of 700 MiB: as it is, or packed to less than one. */
async function writeHuge(to: Writable, isPacked: boolean): Promise<void> {
  if (isPacked) {
    const bytes = Buffer.concat(Array(700).fill(PACKED_MEBIBYTE));
    to.write(Buffer.concat([frameHead(true, bytes.length), bytes]));
    return;
  }
  to.write(frameHead(false, 700 * MEBIBYTE));
  const chunk = Buffer.alloc(MEBIBYTE);
  for (let at = 0; at < 700 && !to.destroyed; at++) {
    if (!to.write(chunk)) await new Promise((go) => to.once("drain", go).once("close", go));
  }
}

const PACKED_MEBIBYTE = await promisify(gzip)(Buffer.alloc(MEBIBYTE));

/** A peer that answers every call with such a message. */
async function hostilePeer(isPacked: boolean) {
  let sent = 0;
  const server: Http2Server = createServer();
  server.on("stream", (stream) => {
    stream.on("error", () => undefined);
    const encoding = isPacked ? { "grpc-encoding": "gzip" } : {};
    stream.respond({ ":status": 200, "content-type": "application/grpc", ...encoding });
    const write = stream.write.bind(stream) as (chunk: Buffer) => boolean;
    stream.write = ((chunk: Buffer) => {
      sent += chunk.length;
      return write(chunk);
    }) as typeof stream.write;
    void writeHuge(stream, isPacked);
  });
  const sessions = new Set<{ destroy(): void }>();
  server.on("session", (session) => sessions.add(session.on("error", () => undefined)));
  const port = await listenOn(server);
  return {
    port,
    sent: () => sent,
    [Symbol.asyncDispose]: async () => {
      for (const session of sessions) session.destroy();
      server.close();
    },
  };
}

test.each([false, true])("hostile 12: a certificate of 700 MiB is refused unread (packed: %s)", async (isPacked) => {
  await using peer = await hostilePeer(isPacked);
  const call = { endpoint: `127.0.0.1:${peer.port}`, tls: "plaintext", headers: [], csr: "x", certSigner: "" } as const;
  const words = { ttlSeconds: 60, deadlineMs: 30_000, log: silentLogger };
  const answer = await callSign({ ...call, ...words }, new AbortController().signal);
  expect(answer).toMatchObject({ status: 8, details: expect.stringMatching(/larger than/) });
  expect(peer.sent()).toBeLessThan(16 * MEBIBYTE);
});

test.each([false, true])("hostile 12: a response of 700 MiB ends the stream, unread (packed: %s)", async (isPacked) => {
  await using peer = await hostilePeer(isPacked);
  await using rig = await startRelay(peer.port);
  const envoy = rig.connect().open("delta");
  envoy.request({ typeUrl: CDS });
  expect(await envoy.ended).toMatchObject({ code: 8, details: expect.stringMatching(/larger than/) });
  expect(peer.sent()).toBeLessThan(16 * MEBIBYTE);
});

test("hostile 12: a request far above the limit ends Envoy's stream, unread", async () => {
  await using peer = await hostilePeer(true);
  await using rig = await startRelay(peer.port, { maxRequestBytes: MEBIBYTE });
  using client = connectAds(rig.socketPath);
  const envoy = client.open("delta");
  envoy.sendRaw(Buffer.alloc(64 * MEBIBYTE));
  expect(await envoy.ended).toMatchObject({ code: 8 });
});

interface Called {
  readonly status: string | undefined;
  readonly message: string;
  readonly taken: number;
}

/** Calls the development control plane with a huge message; `taken` is what it has read of it. */
async function callHuge(port: number, path: string, how: { isPacked: boolean; token?: string }): Promise<Called> {
  const session = connect(`https://localhost:${port}`, { rejectUnauthorized: false });
  session.on("error", () => undefined);
  try {
    const headers: OutgoingHttpHeaders = {
      ...{ ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers" },
      ...(how.isPacked ? { "grpc-encoding": "gzip" } : {}),
      ...(how.token === undefined ? {} : { authorization: `Bearer ${how.token}` }),
    };
    const stream = session.request(headers);
    stream.on("error", () => undefined).resume();
    const ended = new Promise<IncomingHttpHeaders>((done) => {
      stream.on("response", (found) => found["grpc-status"] !== undefined && done(found)).on("trailers", done);
      stream.once("close", () => done({}));
    });
    void writeHuge(stream, how.isPacked);
    const found = await ended;
    const socket = session.socket;
    return {
      status: found["grpc-status"]?.toString(),
      message: decodeURIComponent(found["grpc-message"]?.toString() ?? ""),
      taken: (socket.bytesWritten ?? 0) - (socket.writableLength ?? 0),
    };
  } finally {
    session.destroy();
  }
}

test.each([CA, ADS])("hostile 12: nobody's message is read by the development control plane (%s)", async (path) => {
  await using rig = await startControlPlane({});
  for (const isPacked of [true, false]) {
    for (const token of [undefined, "a.b.c"]) {
      const how = token === undefined ? { isPacked } : { isPacked, token };
      const called = await callHuge(rig.controlPlane.port, path, how);
      expect(called).toMatchObject({ status: "16", message: expect.stringMatching(/authenticat\w+ failure: /) });
      expect(called.taken).toBeLessThan(8 * MEBIBYTE);
    }
  }
});

test.each([CA, ADS])("hostile 12: a known caller's message has a limit, unpacked, too (%s)", async (path) => {
  await using rig = await startControlPlane({});
  const minted = await rig.controlPlane.mintToken({ namespace: "n", serviceAccount: "s" });
  const before = process.memoryUsage().rss;
  for (const isPacked of [true, false]) {
    const called = await callHuge(rig.controlPlane.port, path, { isPacked, token: minted.reveal().toString() });
    expect(called).toMatchObject({ status: "8", message: expect.stringMatching(/larger than/) });
  }
  expect((process.memoryUsage().rss - before) / MEBIBYTE).toBeLessThan(300);
});

describe.each(runtimes())("the control plane on $name", (runtime) => {
  test("hostile 12: nobody's message is read, whether or not it is packed", async () => {
    await using sandbox = await createSandbox(runtime);
    await using controlPlane = await sandbox.startControlPlane();
    for (const isPacked of [true, false]) {
      const called = await callHuge(sandbox.ports.controlPlane, ADS, { isPacked });
      expect(called).toMatchObject({ status: "16", message: expect.stringContaining("authentication failure: ") });
      expect(called.taken).toBeLessThan(8 * MEBIBYTE);
    }
    expect(peakMegabytes(controlPlane.pid)).toBeLessThan(500);
  });
});
