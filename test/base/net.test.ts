import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { bindTcp, bindUnix, freePorts, splitHostPort } from "../../src/base/index.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-net-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

test("a connection that comes before anyone serves is handed over with its bytes", async () => {
  await using bound = await bindUnix(join(folder, "a", "socket"), { mode: 0o666 });
  const client = connect(bound.address);
  client.write("early");
  await new Promise((resolve) => client.once("connect", resolve));
  const received = new Promise<string>((resolve) =>
    bound.handOver((socket) => socket.once("data", (bytes) => resolve(bytes.toString()))),
  );
  expect(await received).toBe("early");
  expect((await stat(bound.address)).mode & 0o777).toBe(0o666);
  client.destroy();
});

test("closing removes the socket file and cuts open connections", async () => {
  const path = join(folder, "socket");
  const bound = await bindUnix(path);
  bound.handOver(() => undefined);
  const client = connect(path);
  const closed = new Promise((resolve) => client.on("error", () => undefined).once("close", resolve));
  await new Promise((resolve) => client.once("connect", resolve));
  await bound[Symbol.asyncDispose]();
  await closed;
  expect(await readdir(folder)).toEqual([]);
});

test("a stale socket file is replaced, a live one is not", async () => {
  const path = join(folder, "socket");
  const first = await bindUnix(path);
  await expect(bindUnix(path)).rejects.toMatchObject({ code: "ADDRESS_IN_USE" });
  await first[Symbol.asyncDispose]();
  const stale = createServer();
  await new Promise<void>((resolve) => stale.listen(path, resolve));
  stale.unref();
  // A server that vanished without cleaning up leaves the file: closing the handle only is what a crash does.
  (stale as unknown as { _handle: { close(): void } })._handle.close();
  await using again = await bindUnix(path);
  expect(again.address).toBe(path);
});

test("a regular file in the way is left alone", async () => {
  const path = join(folder, "file");
  await writeFile(path, "mine");
  await expect(bindUnix(path)).rejects.toMatchObject({ code: "ADDRESS_IN_USE" });
  expect((await stat(path)).size).toBe(4);
});

test("a path over the platform's limit is refused with its length", async () => {
  const path = join(folder, "x".repeat(120));
  await expect(bindUnix(path)).rejects.toThrow(/the path has \d+ bytes, at most \d+ are possible/);
});

test("a taken port is named", async () => {
  await using taken = await bindTcp("127.0.0.1", 0);
  await expect(bindTcp("127.0.0.1", taken.port)).rejects.toThrow(`"127.0.0.1:${taken.port}": in use`);
});

test("a port that is free and cannot be had is neither taken nor a file", async () => {
  const elsewhere = "192.0.2.7"; // TEST-NET-1, RFC 5737
  await expect(bindTcp(elsewhere, 0)).rejects.toMatchObject({
    code: "ADDRESS_UNUSABLE",
    message: expect.stringMatching(`^Cannot listen on "${elsewhere}:0": .*EADDRNOTAVAIL`),
    hint: expect.stringContaining("No interface"),
  });
});

test("free ports are distinct", async () => {
  const ports = await freePorts(5);
  expect(new Set(ports).size).toBe(5);
});

test("a client that leaves before it is served disturbs nobody", async () => {
  await using bound = await bindTcp("127.0.0.1", 0);
  const client = connect(bound.port, "127.0.0.1");
  await new Promise((resolve) => client.once("connect", resolve));
  client.resetAndDestroy();
  await new Promise((resolve) => client.once("close", resolve));
  const served: Socket[] = [];
  bound.handOver((socket) => void served.push(socket));
  const second = connect(bound.port, "127.0.0.1");
  await expect.poll(() => served.filter((socket) => !socket.destroyed).length).toBe(1);
  second.destroy();
});

test.each([
  ["istiod:15012", { host: "istiod", port: "15012" }],
  ["[2001:db8::1]:80", { host: "2001:db8::1", port: "80" }],
  ["host:", { host: "host", port: "" }],
  [":80", { host: "", port: "80" }],
  ["nohost", "address nohost: missing port in address"],
  ["", "missing port in address"],
  ["2001:db8::1:80", "address 2001:db8::1:80: too many colons in address"],
  ["[::1]", "address [::1]: missing port in address"],
])("%s splits as Go splits it", (address, expected) => {
  expect(splitHostPort(address)).toEqual(expected);
});
