import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer, type ServerHttp2Session } from "node:http2";
import { connect as connectTcp } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { build } from "esbuild";
import { expect, onTestFinished, test } from "vitest";
import { openGrpcStream } from "../../src/grpc-stream/client.ts";
import { keepAlive } from "../../src/grpc-stream/keepalive.ts";
import { MessageWriter } from "../../src/grpc-stream/message-writer.ts";
import { statusOfTrailers, trailersOf } from "../../src/grpc-stream/status.ts";
import { startH2 } from "./h2.ts";

const GRPC = { ":status": 200, "content-type": "application/grpc" };

function slowCall(address: string, got: Buffer[], more: object = {}) {
  const call = openGrpcStream({
    ...{ address, authority: address, tls: "plaintext", method: "/a.B/C", headers: [] },
    ...{ connectLimitMs: 10_000, mostMessageBytes: 2 ** 20 },
    handler: {
      async message(bytes) {
        got.push(bytes);
        await delay(5); // a taker that is slower than the server
      },
    },
    ...more,
  });
  onTestFinished(() => call.close());
  return call;
}

/** The JSON that a program of this folder prints. */
async function printedOn(runtime: string, file: string): Promise<Record<string, object>> {
  const folder = await mkdtemp(join(tmpdir(), "pb-grpc-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const outfile = join(folder, "program.cjs");
  await build({ entryPoints: [`test/grpc-stream/${file}`], bundle: true, platform: "node", outfile });
  const program = runtime === "bun" ? "node_modules/.bin/bun" : process.execPath;
  const { stdout } = await promisify(execFile)(program, [outfile], { timeout: 50_000, killSignal: "SIGKILL" });
  return JSON.parse(stdout);
}

test.each(["node", "bun"])("everything before the end is taken, however slowly, on %s", async (runtime) => {
  const seen = Object.values(await printedOn(runtime, "slow-taker.ts"));
  expect(seen).toEqual(Array.from({ length: 9 }, () => ({ code: 7, isWhole: true })));
});

test.each(["node", "bun"])("a call that is cut off says by what, on %s", async (runtime) => {
  expect(await printedOn(runtime, "cut-off.ts")).toEqual({
    connection: { code: 14, details: "Connection dropped" },
    farewell: { code: 14, details: "Connection dropped, after GOAWAY 0: moving house" },
    page: { code: 14, details: "Received HTTP status code 503: no healthy upstream" },
    encoding: { code: 13, details: 'a message is compressed with "br"; known: gzip, deflate' },
    noStatus: { code: 13, details: "the server ended the stream without a status" },
  });
});

test.each(["constructor", "__proto__", "authorization"])("a header named %s costs nobody the call", async (name) => {
  const address = await startH2((stream) => stream.respond({ ...GRPC, "grpc-status": "0" }, { endStream: true }));
  const headers = [
    [name, "a"],
    [name, "b"],
  ];
  expect(await slowCall(address, [], { headers }).status).toEqual({ code: 0, details: "" });
});

test("an authority that no URL may have is sent, and a call that cannot be made leaves no connection", async () => {
  const seen: unknown[] = [];
  const sessions = new Set<ServerHttp2Session>();
  const address = await startH2((stream, headers) => {
    seen.push(headers[":authority"]);
    if (stream.session !== undefined) sessions.add(stream.session as ServerHttp2Session);
    stream.respond({ ...GRPC, "grpc-status": "0" }, { endStream: true });
  });
  expect(await slowCall(address, [], { authority: "::1" }).status).toEqual({ code: 0, details: "" });
  expect(seen).toEqual(["::1"]);
  expect((await slowCall(address, [], { headers: [["bad name", "x"]] }).status).code).toBe(14);
  await expect.poll(() => [...sessions].filter((session) => !session.closed).length).toBe(0);
});

test("pings wait for their answer, stay away at 0, and come late with an interval beyond any timer", async () => {
  let pings = 0;
  const server = createServer();
  server.on("session", (session) => session.on("ping", () => pings++));
  server.on("stream", (stream) => stream.on("error", () => undefined).respond());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  const { port } = server.address() as { port: number };
  const client = connect(`http://127.0.0.1:${port}`, { createConnection: () => connectTcp(port, "127.0.0.1") });
  onTestFinished(() => client.destroy());
  let isDead = false;
  const dead = (): void => {
    isDead = true;
  };
  await new Promise((resolve) => client.once("remoteSettings", resolve));
  keepAlive(client, { intervalMs: 0, timeoutMs: 1_000 }, dead);
  await delay(30);
  expect(pings).toBe(0);
  keepAlive(client, { intervalMs: 2 ** 40, timeoutMs: 2 ** 40 }, dead);
  await delay(30);
  expect(pings).toBe(0);
  keepAlive(client, { intervalMs: 5, timeoutMs: 10_000 }, dead);
  await expect.poll(() => pings).toBeGreaterThan(2);
  expect(isDead).toBe(false);
});

test("what is no status is UNKNOWN, and a long reason is shortened", () => {
  const codes = ["", "-1", "99", "0x1", "16"].map((code) => statusOfTrailers({ "grpc-status": code })?.code);
  expect(codes).toEqual([2, 2, 2, 2, 16]);
  const { "grpc-message": message = "" } = trailersOf({ code: 7, details: "ä".repeat(15_000) });
  expect(message.length).toBeLessThan(16_000);
});

test("a message that begins after the stream was closed within another does not hang", async () => {
  const address = await startH2((stream) => {
    const writer = new MessageWriter(stream, () => stream.respond(GRPC));
    void writer.begin(1_000).then(async (piece) => {
      await piece.write(Buffer.alloc(10));
      stream.destroy();
      stream.once("close", async () => {
        const next = await writer.begin(10);
        await next.write(Buffer.alloc(10));
        begun = true;
      });
    });
  });
  let begun = false;
  await slowCall(address, []).status;
  await expect.poll(() => begun).toBe(true);
});
