import { once } from "node:events";
import { connect } from "node:net";
import { expect, test } from "vitest";
import { bindTcp } from "../../src/base/index.ts";
import { startRig } from "./rig.ts";

test("POST /quitquitquit answers OK first, then stops the agent", async () => {
  await using rig = await startRig();
  const answer = await rig.call("/quitquitquit", { method: "POST" });
  expect(answer).toMatchObject({ status: 200, text: "OK" });
  await expect.poll(() => rig.called).toEqual(["quit"]);
});

test("GET /quitquitquit is refused and stops nothing", async () => {
  await using rig = await startRig();
  expect(await rig.call("/quitquitquit")).toMatchObject({ status: 405, text: "Method Not Allowed\n" });
  expect(rig.called).toEqual([]);
});

test.each(["192.168.1.100", "2001:db8::1", undefined])("a peer %s may neither quit nor drain", async (peer) => {
  await using rig = await startRig({ peer });
  for (const path of ["/quitquitquit", "/drain", "/debug/ndsz", "/debug/pprof/cmdline"]) {
    const answer = await rig.call(path); // the peer counts before the method
    expect(answer).toMatchObject({ status: 403, text: "Only requests from localhost are allowed\n" });
    expect(answer.headers["x-content-type-options"]).toBe("nosniff");
    expect(answer.headers["content-type"]).toBe("text/plain; charset=utf-8");
  }
  expect(rig.called).toEqual([]);
});

test.each(["127.0.0.6", "::1", "::ffff:127.0.0.1"])("a peer %s is local", async (peer) => {
  await using rig = await startRig({ peer });
  expect(await rig.call("/drain", { method: "POST" })).toMatchObject({ status: 200, text: "OK" });
  expect(rig.called).toEqual(["drain"]);
});

test("a failing drain still answers OK, and is logged", async () => {
  await using rig = await startRig({
    drain: async () => {
      throw new Error("admin is gone");
    },
  });
  expect(await rig.call("/drain", { method: "POST" })).toMatchObject({ status: 200, text: "OK" });
  expect(rig.log.at(-1)).toBe("warn\tdrain failed\treason=admin is gone");
});

test("the answer of /drain waits for the drain", async () => {
  let finish = (): void => undefined;
  const draining = new Promise<void>((resolve) => {
    finish = resolve;
  });
  await using rig = await startRig({ drain: () => draining });
  const order: string[] = [];
  const answer = rig.call("/drain", { method: "POST" }).then(() => order.push("answered"));
  await rig.call("/healthz/ready");
  order.push("drained");
  finish();
  await answer;
  expect(order).toEqual(["drained", "answered"]);
});

test("an unclean path is redirected to the clean one", async () => {
  await using rig = await startRig();
  const answer = await rig.call("//debug/./pprof/x/../cmdline?a=b");
  expect(answer).toMatchObject({ status: 301, headers: { location: "/debug/pprof/cmdline?a=b" } });
  expect((await rig.call("/debug/pprof/cmdline")).text).toBe("pilotboat\0proxy\0sidecar");
});

test("profiles that only a Go program has are 501, and gone with --profiling=false", async () => {
  await using rig = await startRig();
  expect((await rig.call("/debug/pprof/heap")).status).toBe(501);
  await using without = await startRig({ commandLine: undefined });
  expect((await without.call("/debug/pprof/cmdline")).status).toBe(404);
});

test("unknown paths are 404", async () => {
  await using rig = await startRig();
  expect(await rig.call("/healthz")).toMatchObject({ status: 404, text: "404 page not found\n" });
});

test("the name table is 404 with {} until there is one", async () => {
  let table: unknown;
  await using rig = await startRig({ nameTable: () => table });
  expect(await rig.call("/debug/ndsz")).toMatchObject({ status: 404, text: "{}" });
  table = { table: { "a.b": { ips: ["1.1.1.1"] } } };
  const answer = await rig.call("/debug/ndsz");
  expect(answer.headers["content-type"]).toBe("application/json");
  expect(JSON.parse(answer.text)).toEqual(table);
});

test("a handler that throws is a 500 with the reason, and the server lives on", async () => {
  await using rig = await startRig({
    nameTable: () => {
      throw new Error("no table today");
    },
  });
  expect(await rig.call("/debug/ndsz")).toMatchObject({ status: 500, text: "no table today\n" });
  expect((await rig.call("/healthz/ready")).status).toBe(200);
});

test("closing cuts connections that are kept alive", async () => {
  const rig = await startRig();
  const client = connect(rig.port, "127.0.0.1");
  client.write("GET /healthz/ready HTTP/1.1\r\nHost: x\r\n\r\n");
  await once(client, "data");
  const closed = once(client, "close");
  await rig[Symbol.asyncDispose]();
  await closed;
});

test("a client that does not speak HTTP is told so, others are served", async () => {
  await using rig = await startRig();
  const stranger = connect(rig.port, "127.0.0.1");
  stranger.write("\x16\x03\x01 hello\r\n\r\n");
  stranger.on("data", () => undefined).on("error", () => undefined);
  await once(stranger, "close");
  expect((await rig.call("/healthz/ready")).status).toBe(200);
});

test("a probe that came before the server is answered by it", async () => {
  const socket = await bindTcp("127.0.0.1", 0);
  const early = connect(socket.port, "127.0.0.1");
  early.write("GET /healthz/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  await once(early, "connect");
  await using _rig = await startRig({ socket });
  const [answer] = await once(early, "data");
  expect(String(answer)).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  await socket[Symbol.asyncDispose]();
});

test.each(["before", "while"])("a reload is refused when the agent begins to end %s it", async (when) => {
  let hasBegun = false;
  await using rig = await startRig({
    reload() {
      hasBegun = true;
      return new Promise(() => undefined);
    },
  });
  if (when === "before") rig.stop.abort();
  const asked = rig.call("/reload", { method: "POST" });
  if (when === "while") {
    await expect.poll(() => hasBegun).toBe(true);
    rig.stop.abort();
  }
  const { status, text } = await asked;
  expect({ status, ...JSON.parse(text) }).toMatchObject({
    status: 409,
    outcome: "refused",
    reason: "the agent is stopping",
  });
  expect(hasBegun).toBe(when === "while");
});
