import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { afterEach, describe, expect, test } from "vitest";
import { bindTcp, connectionLimit } from "../../src/base/index.ts";
import { type Runtime, run, runtimes } from "../support/pilotboat.ts";
import { createSandbox } from "../support/sandbox.ts";
import { connectSds } from "../support/sds-client.ts";
import { startVictim } from "./rig.ts";
import { asRoot, STRANGER, startProgram } from "./users.ts";

const SDS_SOCKET = "var/run/secrets/workload-spiffe-uds/socket";

const open: Socket[] = [];
afterEach(() => {
  for (const socket of open.splice(0)) socket.destroy();
});

/** A connection that has sent these words. */
async function say(where: number | string, words: string | Buffer): Promise<Socket> {
  const socket = typeof where === "number" ? connect(where, "127.0.0.1") : connect(where);
  open.push(socket);
  socket.on("error", () => undefined).resume();
  await once(socket, "connect");
  socket.write(words);
  return socket;
}

/** Opens connections until there are as many as it can have, sends a half request on each, and holds them. */
const HOLD = `
import socket, sys
held = []
for at in range(int(sys.argv[2])):
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5)
    s.sendall(sys.argv[3].encode().decode("unicode_escape").encode())
    held.append(s)
print("held", flush=True)
import time
time.sleep(600)
`;

const ASK = "GET /healthz/ready HTTP/1.1\r\nHost: a\r\n";

/** The same, where it can have that many descriptors. */
function withDescriptors({ name, command }: Runtime, count: number): Runtime {
  return { name, command: ["sh", "-c", `ulimit -n ${count} && exec "$@"`, "sh", ...command] };
}

describe.each(runtimes())("the status port of $name", (runtime) => {
  test("hostile 11: who does not finish a request is cut off, who rests between two is not", async () => {
    await using victim = await startVictim(runtime);
    const port = victim.sandbox.ports.status;
    const silent = await say(port, "");
    const halfHead = await say(port, ASK);
    const halfBody = await say(port, `${ASK}Content-Length: 100\r\n\r\nhalf`);
    const resting = await say(port, `${ASK}\r\n`);
    await once(resting, "data");
    const halfSecond = await say(port, `${ASK}\r\n`);
    await once(halfSecond, "data");
    halfSecond.write(ASK);
    const dripping = await say(port, ASK);
    const drip = setInterval(() => dripping.write("X: y\r\n"), 1_000);
    try {
      for (const [name, late] of Object.entries({ silent, halfHead, halfBody, halfSecond, dripping })) {
        await expect.poll(() => late.closed, { message: name, timeout: 20_000 }).toBe(true);
      }
    } finally {
      clearInterval(drip);
    }
    const answer = once(resting, "data");
    resting.write(`${ASK}\r\n`);
    expect(String(await answer)).toMatch(/^HTTP\/1\.1 200 /);
  });

  test.skipIf(!asRoot)(
    "hostile 11: 600 connections of another user leave readiness answered, with 192 descriptors",
    async () => {
      await using victim = await startVictim(withDescriptors(runtime, 192));
      const port = victim.sandbox.ports.status;
      for (const words of [ASK, "", `${ASK}\\r\\n`]) {
        await using _attacker = await startProgram(["/usr/bin/python3", "-c", HOLD, String(port), "600", words], {
          uid: STRANGER,
        });
        for (let round = 0; round < 10; round++) {
          expect((await victim.ask("/healthz/ready")).status).toBe(200);
          expect((await victim.ask("/stats/prometheus")).text).toContain("istio_agent_");
        }
      }
    },
  );
});

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const SETTINGS = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
const TLS_HELLO = Buffer.from([0x16, 3, 1, 2, 0]);

/** The first bytes that a server of HTTP/2 says. */
async function greeting(socket: Socket): Promise<Buffer> {
  open.push(socket);
  socket.write(Buffer.concat([PREFACE, SETTINGS]));
  const [bytes] = (await once(socket, "data")) as [Buffer];
  return bytes;
}

describe.each(runtimes())("the gRPC servers of $name", (runtime) => {
  test("hostile 11: who makes no call gives way and is cut off, a stream that is under way stays", async () => {
    await using victim = await startVictim(withDescriptors(runtime, 256));
    const { folder, ports } = victim.sandbox;
    const [sds, xds] = [join(folder, SDS_SOCKET), join(folder, "etc/istio/proxy/XDS")];
    await using envoy = connectSds(sds);
    const stream = envoy.open();
    stream.ask("default");
    await stream.response(0);
    const held: Socket[] = [];
    for (const where of [sds, xds, ports.controlPlane]) {
      const beginnings =
        where === ports.controlPlane
          ? [TLS_HELLO]
          : [PREFACE.subarray(0, 9), PREFACE, Buffer.concat([PREFACE, SETTINGS])];
      for (let count = 0; count < 90; count++)
        held.push(await say(where, beginnings[count % beginnings.length] as Buffer));
    }
    await using other = connectSds(sds);
    const second = other.open();
    second.ask("default");
    await second.response(0);
    expect(await greeting(connect(xds))).not.toHaveLength(0);
    const tls = { host: "127.0.0.1", port: ports.controlPlane, ALPNProtocols: ["h2"], rejectUnauthorized: false };
    expect(await greeting(connectTls(tls))).not.toHaveLength(0);
    await expect.poll(() => held.filter((socket) => !socket.closed).length, { timeout: 25_000 }).toBe(0);
    stream.ask("ROOTCA");
    await stream.response(1);
  });
});

test.each(runtimes())("hostile 11: on $name, half questions for a token keep nobody from one", async (runtime) => {
  await using sandbox = await createSandbox(runtime);
  const env = { XDG_STATE_HOME: join(sandbox.folder, "state") };
  await using plane = await sandbox.startControlPlane({ env });
  const name = `${sandbox.ports.controlPlane}-${plane.pid}.sock`;
  const desk = join(env.XDG_STATE_HOME, "pilotboat/control-planes", name);
  const held: Socket[] = [];
  for (let count = 0; count < 40; count++) held.push(await say(desk, '{"namespace":'));
  await expect.poll(() => held.filter((socket) => !socket.closed).length).toBeLessThanOrEqual(16);
  const asked = await run(runtime, ["control-plane", "token", "--service-account", "a"], { env });
  expect(asked).toMatchObject({ code: 0, stdout: expect.stringMatching(/^ey[\w.-]+\n$/) });
  const drip = setInterval(() => held.at(-1)?.write(" "), 500);
  try {
    await expect.poll(() => held.filter((socket) => !socket.closed).length, { timeout: 25_000 }).toBe(0);
  } finally {
    clearInterval(drip);
  }
});

test("hostile 11: the oldest connection that sends nothing goes first, one that is served never does", async () => {
  await using bound = await bindTcp("127.0.0.1", 0, { limit: { most: 3, mostPerPeer: 3 } });
  const served = new Set<Socket>();
  bound.handOver(
    (socket) => void socket.on("data", () => void served.add(socket)),
    (socket) => (served.has(socket) ? 0 : 1),
  );
  const busy = [await say(bound.port, "x"), await say(bound.port, "x")];
  await expect.poll(() => served.size).toBe(2);
  const first = await say(bound.port, "");
  const second = await say(bound.port, "");
  await expect.poll(() => first.closed).toBe(true);
  second.write("x");
  await expect.poll(() => served.size).toBe(3);
  const third = await say(bound.port, "x");
  await expect.poll(() => third.closed).toBe(true);
  expect([...busy, second].map((socket) => socket.closed)).toEqual([false, false, false]);
});

test.each([
  [1_048_576, 256, 4_096],
  [Number.POSITIVE_INFINITY, 256, 4_096],
  [20_000, 256, 2_492],
  [1_024, 240, 240],
  [192, 32, 32],
  [64, 16, 16],
])(
  "hostile 11: with %d descriptors a listener keeps %d connections, half of them of one peer, and %d for a moment",
  (descriptors, most, mostAtOnce) => {
    expect(connectionLimit(256, descriptors)).toEqual({ most, mostPerPeer: most / 2, mostAtOnce });
  },
);
