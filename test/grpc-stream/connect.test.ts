import { once } from "node:events";
import type { Socket } from "node:net";
import { createServer as createTls } from "node:tls";
import { expect, onTestFinished, test } from "vitest";
import { connectHttp2 } from "../../src/grpc-stream/connect.ts";
import { startConnectProxy } from "../support/connect-proxy.ts";
import { freePorts } from "../support/ports.ts";
import { createTestCa } from "../support/test-ca.ts";
import { startTcp } from "./h2.ts";

/** A name of 127.0.0.1 and ::1. Source: RFC 6761 section 6.3. */
const BOTH = "both.localhost";
const ADDRESSES = ["127.0.0.1", "::1"];

async function freePort(): Promise<number> {
  const [port = 0] = await freePorts(1);
  return port;
}

function connectTo(address: string, signal = new AbortController().signal): Promise<Socket> {
  const connected = connectHttp2({ address, tls: "plaintext" }, signal);
  void connected.then(
    (socket) => onTestFinished(() => void socket.destroy()),
    () => undefined,
  );
  return connected;
}

test.each(ADDRESSES)("the address that does not refuse is found among several: %s", async (host) => {
  const port = await freePort();
  await startTcp(() => undefined, host, port);
  const socket = await connectTo(`${BOTH}:${port}`);
  expect(socket.remoteAddress).toBe(host);
});

test("all refuse: the last failure is the reason", async () => {
  const port = await freePort();
  await expect(connectTo(`${BOTH}:${port}`)).rejects.toThrow(/^connect ECONNREFUSED \S+:\d+$/);
});

test.each(ADDRESSES)(
  "an address that hangs in TLS does not keep the next from being tried: %s answers",
  async (host) => {
    const port = await freePort();
    const ca = await createTestCa();
    const { certPem, keyPem } = await ca.issue({ dns: [BOTH] });
    const server = createTls({ cert: certPem, key: keyPem, ALPNProtocols: ["h2"] }, (socket) => {
      socket.on("error", () => undefined);
    });
    server.listen(port, host);
    await once(server, "listening");
    onTestFinished(() => void server.close());
    const hanging = new Set<Socket>();
    const hang = (socket: Socket): void => void hanging.add(socket.resume());
    await startTcp(
      hang,
      ADDRESSES.find((other) => other !== host),
      port,
    );
    const tls = { roots: Buffer.from(ca.certPem), serverName: BOTH };
    const socket = await connectHttp2({ address: `${BOTH}:${port}`, tls }, new AbortController().signal);
    expect(socket.remoteAddress).toBe(host);
    await expect.poll(() => [...hanging].every((other) => other.closed)).toBe(true);
    socket.destroy();
  },
);

test("a server that hangs in TLS is left when the signal aborts", async () => {
  let gone = (): void => undefined;
  const isGone = new Promise<void>((resolve) => {
    gone = resolve;
  });
  const address = await startTcp((socket) => void socket.resume().once("close", gone));
  const stop = new AbortController();
  const tls = { roots: "system", serverName: "x" } as const;
  const connecting = connectHttp2({ address, tls }, stop.signal);
  setTimeout(() => stop.abort(), 50);
  await expect(connecting).rejects.toThrow("the address does not answer");
  await isGone;
});

test("an aborted signal, and an address that is none", async () => {
  await expect(connectTo("127.0.0.1:1", AbortSignal.abort())).rejects.toThrow(/does not answer/);
  await expect(connectTo("nothing")).rejects.toThrow(/nothing/);
});

test("through a proxy, and what the proxy says when it cannot", async () => {
  const greeting = await startTcp((socket) => socket.write("hello"));
  const port = Number(greeting.split(":")[1]);
  await using proxy = await startConnectProxy({ "far.example:15012": port });
  const through = { address: proxy.address, credentials: undefined, except: [] };
  const never = new AbortController().signal;
  const socket = await connectHttp2({ address: "far.example:15012", tls: "plaintext", proxy: through }, never);
  const [bytes] = await once(socket.resume(), "data");
  expect(String(bytes)).toBe("hello");
  socket.destroy();
  const other = { address: "other.example:1", tls: "plaintext", proxy: through } as const;
  await expect(connectHttp2(other, never)).rejects.toThrow(/answered "HTTP\/1.1 502 Bad Gateway" to CONNECT/);
  expect(proxy.asked.map(({ target }) => target)).toEqual(["far.example:15012", "other.example:1"]);
});

test("a proxy that cannot be reached, is not known by name or does not answer is what is named", async () => {
  const [dead, silent] = [`127.0.0.1:${await freePort()}`, await startTcp((socket) => void socket.resume())];
  const through = (address: string, signal = new AbortController().signal) => {
    const proxy = { address, credentials: undefined, except: [] };
    return connectHttp2({ address: "far.example:15010", tls: "plaintext", proxy }, signal);
  };
  await expect(through(dead)).rejects.toThrow(`proxy "${dead}": connect ECONNREFUSED ${dead}`);
  await expect(through("no.such.invalid:1")).rejects.toThrow(/^proxy "no\.such\.invalid:1": lookup no\.such\.invalid/);
  const expected = `proxy "${silent}" does not answer CONNECT far.example:15010`;
  await expect(through(silent, AbortSignal.timeout(500))).rejects.toThrow(expected);
});
