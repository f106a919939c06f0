import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type RunningCommand, runtimes, start } from "../support/pilotboat.ts";
import { passOnTo, type StandIn, startStandIn } from "./istiod-stand-in.ts";
import { type Cluster, hasCluster, startCluster } from "./start-cluster.ts";

const MIB = 2 ** 20;
const PUSH_BYTES = 50 * MIB;
const TLS_HANDSHAKE = 0x16;

/** What a pod is asked by the first line: `PUSH n` sends n bytes and ends; `ECHO` says everything again; `FLOOD` never ends. */
describe.runIf(hasCluster()).each(runtimes())("the port of connect, on $name", { timeout: 180_000 }, (runtime) => {
  let cluster: Cluster;
  let pod: StandIn;
  let command: RunningCommand;
  let port: number;
  let revision: string;
  let serve: (socket: Socket) => void;
  let flooded = 0;

  beforeAll(async () => {
    cluster = await startCluster();
    const toIstiod = passOnTo(cluster.discoveryAddress);
    revision = `${cluster.namespace}-flow`;
    serve = (socket) => {
      socket.once("data", (first: Buffer) => {
        if (first[0] === TLS_HANDSHAKE) {
          socket.unshift(first);
          toIstiod(socket);
        } else serveLine(socket, first, (bytes) => (flooded += bytes));
      });
    };
    pod = await startStandIn(cluster, { name: revision, revision, address: "127.2.0.9", serve });
    command = start(runtime, ["connect", "--revision", revision], { env: { KUBECONFIG: cluster.kubeconfig } });
    port = Number((await command.waitFor(/^istiod +localhost:(\d+)/m))[1]);
  }, 300_000);
  afterAll(async () => {
    await command?.[Symbol.asyncDispose]();
    await pod?.[Symbol.asyncDispose]();
    await cluster?.[Symbol.asyncDispose]();
  });

  const ask = (line: string): Socket => talk(port, line);
  const memoryMib = (): number =>
    Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${command.pid}/status`, "utf8"))?.[1]) / 1_024;

  test("50 MB come through whole, and the end of the pod's side with them", async () => {
    const startedMs = performance.now();
    expect(await countOf(ask(`PUSH ${PUSH_BYTES}\n`))).toBe(PUSH_BYTES);
    console.log(`${runtime.name}: 50 MiB in ${Math.round(performance.now() - startedMs)} ms`);
  });

  test("100 connections at once each get their own bytes", async () => {
    const answers = await Promise.all(
      Array.from({ length: 100 }, async (_, i) => {
        const socket = ask("ECHO\n");
        const text = `connection ${i} `.repeat(1_000);
        socket.end(text); // its end reaches the pod, which then ends, too
        return (await textOf(socket)) === text;
      }),
    );
    expect(answers.filter((isOwn) => isOwn)).toHaveLength(100);
    await expect.poll(pod.connections).toBe(0);
  });

  test("a reader that stops stops the pod, no other connection, and fills no memory", async () => {
    const stalled = ask("FLOOD\n");
    stalled.once("data", () => stalled.pause());
    await expect.poll(() => isStill(() => flooded), { timeout: 60_000 }).toBe(true); // all buffers on the way are full
    const before = memoryMib();
    expect(await countOf(ask(`PUSH ${PUSH_BYTES}\n`))).toBe(PUSH_BYTES);
    expect(await countOf(ask(`PUSH ${PUSH_BYTES}\n`))).toBe(PUSH_BYTES);
    console.log(
      `${runtime.name}: ${Math.round(before)} MiB before 100 MiB beside a stalled reader, then ${Math.round(memoryMib())}`,
    );
    expect(flooded).toBeLessThan(64 * MIB);
    expect(memoryMib() - before).toBeLessThan(64);
    stalled.destroy();
    await expect.poll(pod.connections).toBe(0);
  });

  test("without a pod a connection is reset and the log says why; with a new pod the next one works", async () => {
    await pod.kill();
    await expect(countOf(ask("ECHO\n"))).rejects.toThrow("ECONNRESET");
    await command.waitFor(/Cannot reach an istiod.*there is no pod with app=istiod of it/);
    pod = await startStandIn(cluster, { name: `${revision}-new`, revision, address: "127.2.0.8", serve });
    expect(await countOf(ask("PUSH 1000\n"))).toBe(1_000);
    await command.waitFor(/istiod is reached again/);
  });
});

function talk(port: number, line: string): Socket {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  socket.on("error", () => undefined);
  socket.write(line);
  return socket;
}

function serveLine(socket: Socket, first: Buffer, onFlood: (bytes: number) => void): void {
  const [line = ""] = first.toString("latin1").split("\n");
  const rest = first.subarray(line.length + 1);
  const [word, count = "0"] = line.split(" ");
  if (word === "ECHO") {
    socket.write(rest);
    socket.pipe(socket);
    return;
  }
  socket.resume();
  let left = word === "FLOOD" ? Number.POSITIVE_INFINITY : Number(count);
  const piece = Buffer.alloc(65_536, "x");
  const more = (): void => {
    while (left > 0 && !socket.destroyed) {
      const bytes = piece.subarray(0, left);
      left -= bytes.length;
      if (word === "FLOOD") onFlood(bytes.length);
      if (!socket.write(bytes)) return void socket.once("drain", more);
    }
    socket.end();
  };
  more();
}

async function countOf(socket: Socket): Promise<number> {
  let bytes = 0;
  for await (const chunk of socket) bytes += (chunk as Buffer).length;
  socket.destroy();
  return bytes;
}

async function textOf(socket: Socket): Promise<string> {
  let text = "";
  for await (const chunk of socket.setEncoding("latin1")) text += chunk;
  socket.destroy();
  return text;
}

/** Whether a count that was moving has stopped. */
async function isStill(count: () => number): Promise<boolean> {
  const before = count();
  await new Promise((done) => setTimeout(done, 1_000));
  return before > 0 && count() === before;
}
