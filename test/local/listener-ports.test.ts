import { createServer } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { listenerPorts } from "../../src/local/listener-ports.ts";
import { freePorts } from "../support/ports.ts";

const place = (ports: ReturnType<typeof listenerPorts>, port: number, isInbound = false) =>
  ports.place({ name: `127.0.0.1_${port}`, address: "127.0.0.1", port, isInbound }).then((found) => found?.port);

async function occupied(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((done) => server.once("listening", done));
  onTestFinished(() => void server.close());
  return (server.address() as { port: number }).port;
}

test("a port that is free stays, one that is taken or the application's moves, an inbound one is left out", async () => {
  const [free = 0, application = 0] = await freePorts(2);
  const ports = listenerPorts(new Set([application]));
  expect(await place(ports, free)).toBe(free);
  const taken = await occupied();
  for (const port of [taken, application]) {
    const to = await place(ports, port);
    expect(to).not.toBe(port);
    expect(ports.at(port)).toEqual({ host: "127.0.0.1", port: to });
  }
  expect(ports.moved().map(({ why }) => why)).toEqual(["taken", "left to your application"]);
  expect(await place(ports, free, true)).toBeUndefined();
});

test("what was given to one listener is not given to another, though Envoy has not bound it yet", async () => {
  const [application = 0] = await freePorts(1);
  const ports = listenerPorts(new Set([application]));
  const to = (await place(ports, application)) ?? 0;
  expect(await place(ports, to)).not.toBe(to);
  expect(ports.moved().map(({ why }) => why)).toEqual(["left to your application", "taken"]);
  expect(new Set(ports.moved().map((one) => one.to)).size).toBe(2);
});

test("a listener for every address is on the loopback address, unless it may be open", async () => {
  const [four = 0, six = 0, named = 0] = await freePorts(3);
  for (const isOpen of [false, true]) {
    const ports = listenerPorts(new Set(), { isOpen });
    for (const [address, port] of [
      ["127.0.0.1", named],
      ["0.0.0.0", four],
      ["::", six],
    ] as const) {
      expect(await ports.place({ name: "a", address, port, isInbound: false })).toEqual({ port, isLoopback: !isOpen });
    }
    expect(ports.isConfined()).toBe(!isOpen);
    expect(ports.at(six)).toEqual({ host: "::1", port: six });
    expect(ports.at(four)).toEqual({ host: "127.0.0.1", port: four });
  }
});

test("who wants to know hears of each listener that is moved from then on", async () => {
  const ports = listenerPorts(new Set());
  const heard: number[] = [];
  const [before, later, free = 0] = [await occupied(), await occupied(), (await freePorts(1))[0]];
  await place(ports, before);
  ports.onMoved(({ from }) => heard.push(from));
  for (const port of [later, free]) await place(ports, port);
  expect(heard).toEqual([later]);
});
