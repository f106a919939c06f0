import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { FieldValue } from "../../src/proto/wire.ts";
import { DELTA, SOTW, type Variant } from "../../src/xds/variant.ts";
import { framed } from "../grpc-stream/framed.ts";
import { type RunningCommand, run, runtimes } from "../support/pilotboat.ts";
import {
  arrivedAs,
  connectEnvoy,
  type EnvoyConnection,
  type Source,
  type SourceStream,
  startSource,
} from "../support/raw-ads.ts";
import { createSandbox, type Sandbox } from "../support/sandbox.ts";
import { createTestCa } from "../support/test-ca.ts";
import { any, message } from "../support/wire-messages.ts";
import { FAKE_ENVOY, openFiles, peakMegabytes } from "./rig.ts";

const MIB = 2 ** 20;
type Field = readonly [number: number, value: FieldValue];

const EDS = "envoy.config.endpoint.v3.ClusterLoadAssignment";
const NDS = "istio.networking.nds.v1.NameTable";
const url = (type: string): string => `type.googleapis.com/${type}`;
/** What the process may grow by, whatever passes through it: garbage that no collection has found yet; all that passes is several times as much. */
const MOST_GROWTH_MB = 64;
/** What 5,000 streams may leave: room for heaps that grow; when each was kept they left 128 MB on Node, 102 in the executable. */
const MOST_LEFT_MB = 80;

// The test is both neighbours of the agent: Envoy on its socket and the control plane that it dials, on bare HTTP/2.
describe.each(runtimes())("the relay on $name", (runtime) => {
  let source: Source;
  let sandbox: Sandbox;
  let agent: RunningCommand;
  let socketPath: string;
  let idleMb: number;
  beforeAll(async () => {
    source = await startSource();
    sandbox = await createSandbox(runtime);
    await writeIdentity(sandbox.folder);
    agent = await sandbox.startProxy({
      proxyConfig: {
        binaryPath: FAKE_ENVOY,
        discoveryAddress: `127.0.0.1:${source.port}`,
        controlPlaneAuthPolicy: "NONE",
      },
      env: { FAKE_ENVOY: "ready", CA_ADDR: "127.0.0.1:1" },
    });
    socketPath = join(sandbox.folder, "etc/istio/proxy/XDS");
    await until(() => tryConnect(socketPath));
    using warm = connectEnvoy(socketPath); // the first stream loads code
    const { envoy, plane } = await openStream(warm);
    await plane.send(response(SOTW, 100_000));
    await until(() => envoy.responses.length === 1);
    idleMb = residentMegabytes(agent.pid);
  });
  afterAll(async () => {
    await agent?.[Symbol.asyncDispose]();
    await sandbox?.[Symbol.asyncDispose]();
    await source?.[Symbol.asyncDispose]();
  });

  /** A stream of Envoy's and the control plane's side of it. */
  async function openStream(connection: ReturnType<typeof connectEnvoy>, variant = SOTW, first = request(variant)) {
    const number = source.streams.length;
    const envoy = connection.open(variant);
    void envoy.send(first);
    const { sha256 } = arrivedAs(first);
    const isIts = ({ requests }: SourceStream): boolean => requests[0]?.sha256 === sha256;
    const find = (): SourceStream | undefined => source.streams.slice(number).find(isIts);
    await until(() => find() !== undefined);
    return { envoy, plane: find() as SourceStream };
  }

  /** Opens streams, fifty on one connection, and resets them when the control plane has seen the first. */
  async function openAndReset(count: number): Promise<void> {
    for (let left = count; left > 0; left -= 50) {
      using connection = connectEnvoy(socketPath);
      const before = source.streams.length;
      const all = Array.from({ length: 50 }, () => connection.open(DELTA));
      for (const envoy of all) void envoy.send(request(DELTA));
      await until(() => source.streams.length > before);
      for (const { stream } of all) stream.close(8);
      await Promise.all(all.map(({ ended }) => ended));
    }
    await expect.poll(() => source.connectionCount()).toBe(0);
  }

  /** A stream on a connection of its own carries a message both ways. */
  async function expectServing(): Promise<void> {
    using connection = connectEnvoy(socketPath);
    const first = request(SOTW, [3, `endpoints ${source.streams.length}`]); // streams of others may still arrive
    const { envoy, plane } = await openStream(connection, SOTW, first);
    const large = response(SOTW, 200_000);
    await plane.send(large);
    await expect.poll(() => envoy.responses).toMatchObject([arrivedAs(large)]);
  }

  test("150 MB arrive byte for byte, and the agent never holds them all", async () => {
    using connection = connectEnvoy(socketPath);
    const { envoy, plane } = await openStream(connection);
    const large = response(SOTW, 150_000_000);
    const wanted = arrivedAs(large);
    forgetPeak(agent.pid);
    await plane.send(large);
    await expect.poll(() => envoy.responses.length).toBe(1);
    const grownMb = peakMegabytes(agent.pid) - idleMb;
    expect(envoy.responses).toMatchObject([wanted]);
    expect(grownMb).toBeLessThan(MOST_GROWTH_MB);
  });

  test("1,000 responses for an Envoy that does not read: memory is bounded, and all arrive in order when it does", async () => {
    using connection = connectEnvoy(socketPath);
    const { envoy, plane } = await openStream(connection);
    forgetPeak(agent.pid);
    envoy.stream.pause();
    let left = 0;
    const nonces = Array.from({ length: 1_000 }, (_, at) => at);
    for (const at of nonces) void plane.send(response(SOTW, 66_000, { nonce: `${at}` })).then(() => left++);
    await untilStill(() => left, connection, plane);
    expect(left).toBeLessThan(100);
    envoy.stream.resume();
    await expect.poll(() => envoy.responses.length).toBe(1_000);
    expect(envoy.responses.map(({ bytes }) => nonceOf(bytes))).toEqual(nonces.map(String));
    const grownMb = peakMegabytes(agent.pid) - idleMb;
    expect(grownMb).toBeLessThan(MOST_GROWTH_MB);
  });

  test.each([
    ["the connection breaks", (plane: SourceStream) => plane.cut(), { code: 14 }],
    ["the stream is reset", (plane: SourceStream) => plane.stream.close(2), { code: 13 }],
    ["the stream ends with a status", (plane: SourceStream) => plane.end(8, "enough"), { code: 8, details: "enough" }],
    ["the stream ends with OK", (plane: SourceStream) => plane.end(0), { code: 13 }],
  ])("%s within a message of 10 MB: Envoy gets a status, and its next stream works", async (_, end, wanted) => {
    using connection = connectEnvoy(socketPath);
    const { envoy, plane } = await openStream(connection);
    await plane.write(framed(response(SOTW, 10 * MIB)).subarray(0, 5 * MIB));
    end(plane);
    expect(await envoy.ended).toMatchObject(wanted);
    expect(envoy.responses).toEqual([]);
    const { envoy: next, plane: again } = await openStream(connection);
    await again.send(response(SOTW, 200_000));
    await expect.poll(() => next.responses.length).toBe(1);
  });

  test("the control plane says its last word behind responses that Envoy has yet to read: it reads all, then the word", async () => {
    using connection = connectEnvoy(socketPath);
    const { envoy, plane } = await openStream(connection);
    envoy.stream.pause();
    const sizes = [1_000, 300_000, 10, 2 * MIB, 70_000];
    for (const size of sizes) void plane.send(response(SOTW, size));
    plane.end(16, "token expired");
    await untilStill(() => envoy.responses.length, connection, plane); // so that the word can overtake if anything lets it
    envoy.stream.resume();
    expect(await envoy.ended).toEqual({ code: 16, details: "token expired" });
    expect(envoy.responses.length).toBe(sizes.length);
  });

  test("Envoy leaves within a message of 10 MB: the control plane's stream ends, the next works", async () => {
    const connection = connectEnvoy(socketPath);
    const { envoy, plane } = await openStream(connection);
    envoy.stream.pause();
    void plane.send(response(SOTW, 10 * MIB));
    void envoy.send(Buffer.alloc(10 * MIB));
    await until(() => envoy.stream.readableLength > 0);
    connection[Symbol.dispose]();
    await expect.poll(() => plane.isClosed).toBe(true);
    await expectServing();
  });

  test.each([
    ["truncated", response(SOTW, 1_000).subarray(0, 900)],
    ["truncated, and long", response(SOTW, 400_000).subarray(0, 300_000)],
    ["none, and long", Buffer.concat([response(SOTW, 100_000), Buffer.from([7])])],
  ])("protobuf that is %s ends the stream with INTERNAL, and not the agent", async (_, broken) => {
    using connection = connectEnvoy(socketPath);
    const { envoy, plane } = await openStream(connection);
    await plane.send(broken);
    expect(await envoy.ended).toMatchObject({ code: 13 });
    expect(envoy.responses).toEqual([]);
    await expectServing();
  });

  test("a response of no bytes, which has no type, is left out; the stream goes on", async () => {
    using connection = connectEnvoy(socketPath);
    const { envoy, plane } = await openStream(connection);
    await plane.send(Buffer.alloc(0));
    await plane.send(response(SOTW, 10, { nonce: "next" }));
    await expect.poll(() => envoy.responses.map(({ bytes }) => nonceOf(bytes))).toEqual(["next"]);
  });

  test("frames of one byte are as good as any, both ways", async () => {
    using connection = connectEnvoy(socketPath);
    const { envoy, plane } = await openStream(connection);
    const large = response(SOTW, 66_000);
    const bytes = framed(large);
    for (let at = 0; at < bytes.length; at++) await plane.write(bytes.subarray(at, at + 1));
    await expect.poll(() => envoy.responses).toMatchObject([arrivedAs(large)]);
    const asked = request(SOTW, [3, "x".repeat(3_000)]);
    for (const byte of framed(asked)) await new Promise((resolve) => envoy.stream.write(Buffer.from([byte]), resolve));
    await expect.poll(() => plane.requests.at(-1)).toMatchObject(arrivedAs(asked));
  });

  test("both directions are full, and each side reads only when it has sent: nobody waits for ever", async () => {
    using connection = connectEnvoy(socketPath);
    const { envoy, plane } = await openStream(connection);
    plane.stream.pause();
    const [up, down] = [request(SOTW, [3, "u".repeat(10 * MIB)]), response(SOTW, 50_000_000)];
    const wanted = [arrivedAs(up), arrivedAs(down)] as const;
    const asked = Promise.all([envoy.send(up), envoy.send(up)]);
    await plane.send(down);
    plane.stream.resume();
    await asked;
    await expect.poll(() => envoy.responses).toMatchObject([wanted[1]]);
    await expect.poll(() => plane.requests.slice(-2)).toMatchObject([wanted[0], wanted[0]]);
  });

  test("an Envoy that reconnects says what it has: the control plane gets it byte for byte", async () => {
    using connection = connectEnvoy(socketPath);
    const versions = Array.from({ length: 3_000 }, (_, at) => [5, message([1, `cluster-${at}`], [2, "v1"])] as const);
    const routes = url("envoy.config.route.v3.RouteConfiguration");
    const first = request(DELTA, [2, routes], ...versions);
    const { plane } = await openStream(connection, DELTA, first);
    expect(plane.requests[0]).toMatchObject(arrivedAs(first));
    expect(await shownTypes()).toContainEqual(expect.objectContaining({ name: "RDS", resources: 3_000 }));
  });

  test.each([["sotw", SOTW] as const, ["delta", DELTA] as const])(
    "%s: status knows of a response that passed, of its refusal and of its acceptance",
    async (_, variant) => {
      using connection = connectEnvoy(socketPath);
      const { envoy, plane } = await openStream(connection, variant);
      const state = async () => (await shownTypes()).find(({ name }) => name === "EDS");
      await plane.send(response(variant, 200_000, { nonce: "a", version: "one", resources: 3 }));
      await expect.poll(() => envoy.responses.length).toBe(1);
      expect(await state()).toMatchObject({ state: "STALE", resources: 3 });
      await envoy.send(
        request(
          variant,
          [variant.request.nonce, "a"],
          [variant.request.errorDetail, message([1, 13], [2, "no such thing"])],
        ),
      );
      await expect
        .poll(state)
        .toMatchObject({ state: "REJECTED", rejection: { version: "one", text: "no such thing" } });
      await plane.send(response(variant, 200_000, { nonce: "b", version: "two", resources: 3 }));
      await expect.poll(() => envoy.responses.length).toBe(2);
      await envoy.send(request(variant, [variant.request.nonce, "b"]));
      await expect.poll(state).toMatchObject({ state: "SYNCED", version: "two", resources: 3 });
    },
  );

  test("a name table of 5 MB does not reach Envoy, whatever its size", async () => {
    using connection = connectEnvoy(socketPath);
    const { envoy, plane } = await openStream(
      connection,
      SOTW,
      request(SOTW, [4, url("envoy.config.listener.v3.Listener")]),
    );
    const names = Array.from(
      { length: 60_000 },
      (_, at) => [1, message([1, `name-${at}.${"x".repeat(50)}`], [2, message([1, "10.0.0.1"])])] as const,
    );
    const table = message([1, "v"], [2, any(NDS, message(...names))], [4, url(NDS)], [5, "names"]);
    expect(table.length).toBeGreaterThan(4 * MIB);
    await plane.send(table);
    await plane.send(response(SOTW, 10, { nonce: "behind" }));
    await expect.poll(() => envoy.responses.map(({ bytes }) => nonceOf(bytes))).toEqual(["behind"]);
  });

  test("a long response that turns out to be the agent's own, against its first resource, ends the stream", async () => {
    using connection = connectEnvoy(socketPath);
    const { envoy, plane } = await openStream(connection);
    await plane.send(response(SOTW, 200_000, { type: NDS }));
    expect(await envoy.ended).toMatchObject({ code: 13, details: expect.stringContaining("NameTable") });
    expect(envoy.responses).toEqual([]);
  });

  test("1,000 streams of one connection are reset: the next is served", async () => {
    let connection = connectEnvoy(socketPath);
    for (let count = 0; count < 1_000; count++) {
      const stream = connection.open(DELTA);
      void stream.send(request(DELTA));
      stream.stream.close(8);
      if (count % 50 === 0) await stream.ended;
    }
    if (connection.session.destroyed) connection = connectEnvoy(socketPath);
    connection[Symbol.dispose]();
    await expectServing();
  });

  test("5,000 streams leave no descriptor and no memory behind", async () => {
    await expectServing();
    await openAndReset(2_000); // until the heaps have the size that this takes
    const [filesBefore, before] = [openFiles(agent.pid), residentMegabytes(agent.pid)];
    await openAndReset(5_000);
    await expect.poll(() => openFiles(agent.pid)).toBeLessThanOrEqual(filesBefore + 2);
    expect(residentMegabytes(agent.pid) - before).toBeLessThan(MOST_LEFT_MB);
  }, 240_000);

  test("a window that Envoy never opens: what it is sent waits, and the agent still stops in time", async () => {
    using connection = connectEnvoy(socketPath, { initialWindowSize: 0 });
    const { plane } = await openStream(connection);
    let left = 0;
    for (let at = 0; at < 50; at++) void plane.send(response(SOTW, MIB)).then(() => left++);
    await untilStill(() => left, connection, plane);
    expect(left).toBeLessThan(10);
    const startMs = Date.now();
    agent.kill("SIGTERM");
    expect((await agent.ended).code).toBe(0);
    expect(Date.now() - startMs).toBeLessThan(10_000);
  });

  async function shownTypes(): Promise<{ name: string }[]> {
    const { stdout } = await run(runtime, ["status", "-o", "json"], { cwd: sandbox.folder });
    return (JSON.parse(stdout) as { xds: { name: string }[] }).xds;
  }
});

interface ResponseWords {
  readonly nonce?: string;
  readonly version?: string;
  readonly resources?: number;
  /** What its type URL says, against its resources. */
  readonly type?: string;
}

/** A response of about that many bytes, in Istio's order of fields. */
function response(
  variant: Variant,
  bytes: number,
  { nonce = "n", version = "v", resources = 1, type = EDS }: ResponseWords = {},
): Buffer {
  const value = Buffer.alloc(Math.ceil(bytes / resources), 0x5a);
  const all = Array.from({ length: resources }, (_, at) => {
    const packed = any(EDS, value);
    return [2, variant === SOTW ? packed : message([1, version], [2, packed], [3, `endpoints-${at}`])] as const;
  });
  return message([1, version], ...all, [4, url(type)], [5, nonce]);
}

/** A request of Envoy's for endpoints, and further fields. */
function request(variant: Variant, ...more: readonly Field[]): Buffer {
  const node = message([1, "sidecar~1.1.1.1~a.b~b.svc"], [6, "envoy"]);
  return message([variant.request.node, node], [variant.request.typeUrl, url(EDS)], ...more);
}

function nonceOf(bytes: Buffer | undefined): string {
  if (bytes === undefined) return "";
  const at = bytes.lastIndexOf(0x2a, bytes.length - 1);
  return bytes.subarray(at + 2).toString();
}

/** What the agent does not start without; it is for a CA that is not there. */
async function writeIdentity(folder: string): Promise<void> {
  const secrets = join(folder, "var/run/secrets");
  for (const name of ["istio", "tokens"]) mkdirSync(join(secrets, name), { recursive: true });
  writeFileSync(join(secrets, "istio/root-cert.pem"), (await createTestCa()).certPem);
  writeFileSync(join(secrets, "tokens/istio-token"), "a.b.c");
}

/** Until a condition holds, also before the first test. */
async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  await vi.waitFor(async () => expect(await holds()).toBe(true), { timeout: 30_000, interval: 5 });
}

async function tryConnect(path: string): Promise<boolean> {
  using connection = connectEnvoy(path);
  return await new Promise((resolve) => {
    connection.session.once("remoteSettings", () => resolve(true)).once("close", () => resolve(false));
  });
}

/** Until a number has not changed while the agent has answered both its neighbours several times, and so has moved what it can. */
async function untilStill(read: () => number, envoy: EnvoyConnection, plane: SourceStream): Promise<void> {
  const sessions = [envoy.session, plane.stream.session];
  for (let [before, same] = [-1, 0]; same < 5; ) {
    same = read() === before ? same + 1 : 0;
    before = read();
    await Promise.all(sessions.map((session) => new Promise((resolve) => session?.ping(resolve))));
  }
}

function residentMegabytes(pid: number): number {
  const [, kilobytes = "0"] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Math.round(Number(kilobytes) / 1_024);
}

/** The most memory that a process has had is from now on. Source: proc_pid_clear_refs(5). */
function forgetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, "5");
}
