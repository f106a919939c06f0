import { type AddressInfo, connect, createServer } from "node:net";
import { expect, test } from "vitest";
import { connectThrough, isProxied } from "../../src/base/index.ts";

test.each<[string, string, boolean]>([
  ["istiod.istio-system.svc:15012", "", true],
  ["istiod.istio-system.svc:15012", "*", false],
  ["istiod.istio-system.svc:15012", "a.b, istio-system.svc", false],
  ["istiod.istio-system.svc:15012", ".SVC", false],
  ["istiod.istio-system.svc:15012", "*.svc", false],
  ["svc:15012", ".svc", true],
  ["svc:15012", "svc", false],
  ["xsvc:15012", "svc", true],
  ["a.b:15012", "a.b:15012", false],
  ["a.b:15012", "a.b:443", true],
  ["10.1.2.3:15012", "10.0.0.0/8", false],
  ["11.1.2.3:15012", "10.0.0.0/8", true],
  ["10.1.2.3:15012", "10.1.2.3", false],
  ["10.1.2.3:15012", "10.1.2.3:443", true],
  ["10.1.2.3:15012", "10.0.0.0/33, 10.0.0.0/x, nonsense/8, :1, ,", true],
  ["[2001:db8::1]:15012", "2001:db8::/32", false],
  ["[2001:db8::1]:15012", "[2001:db8::1]:15012", false],
  ["[2001:db8::1]:15012", "10.0.0.0/8", true],
  ["localhost:15012", "", false],
  ["127.1.2.3:15012", "", false],
  ["[::1]:15012", "", false],
])("%s with NO_PROXY=%j goes through the proxy: %s", (address, except, expected) => {
  expect(isProxied(address, except.split(","))).toBe(expected);
});

test.each<[string, string, string]>([
  [
    "refuses",
    "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
    'answered "HTTP/1.1 407 Proxy Authentication Required" to',
  ],
  ["closes", "", "closed the connection"],
  ["is none", "x".repeat(20_000), "does not speak HTTP"],
])("a proxy that %s is told with its address and answer", async (_case, answer, reason) => {
  const server = createServer((socket) => socket.on("error", () => undefined).once("data", () => socket.end(answer)));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const proxy = { address: `127.0.0.1:${port}`, credentials: undefined, except: [] };
  await expect(connectThrough(connect(port, "127.0.0.1"), "a:1", proxy)).rejects.toThrow(
    `proxy "127.0.0.1:${port}" ${reason}`,
  );
  server.close();
});

test("bytes that come right behind the proxy's answer belong to the connection", async () => {
  const server = createServer((socket) =>
    socket.once("data", () => socket.write("HTTP/1.1 200 OK\r\nX: y\r\n\r\nearly")),
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const proxy = { address: `127.0.0.1:${port}`, credentials: undefined, except: [] };
  const socket = await connectThrough(connect(port, "127.0.0.1"), "a:1", proxy);
  const text = await new Promise((resolve) =>
    socket.once("data", (bytes: Buffer) => resolve(bytes.toString())).resume(),
  );
  expect(text).toBe("early");
  socket.destroy();
  server.close();
});
