import { status } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import type { AdsStream } from "../support/ads-client.ts";
import { type FakeIstiod, startFakeIstiod } from "../support/fake-istiod.ts";
import { CDS, LDS, NDS, type Rig, startRig } from "./relay-rig.ts";

const RDS = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";
const NODE = "sidecar~1.1.1.1~a.b~b.svc";

/** How gRPC's libraries begin a stream, and any program that uses the bootstrap which the agent writes. */
const CLIENTS = [
  { userAgent: "gRPC Go" },
  { userAgent: "gRPC Node Pure JS" },
  { userAgent: "gRPC C-core linux", metadata: { GENERATOR: "grpc" } },
  { metadata: { NAME: "x", GENERATOR: "grpc", LABELS: { app: "web" } } },
  { userAgent: "somebody's debugger" },
] as const;
const ENVOYS = [{ userAgent: "envoy" }, { userAgent: "envoy", metadata: { GENERATOR: "grpc" } }, {}] as const;

/** Resolves once the control plane has the stream's first request. */
async function open(rig: Rig, istiod: FakeIstiod, who: object, variant: "sotw" | "delta" = "sotw"): Promise<AdsStream> {
  const count = istiod.streams.length;
  const stream = rig.connect().open(variant);
  stream.request({ typeUrl: CDS, node: NODE, ...who });
  await expect.poll(() => istiod.streams[count]?.requests.length).toBe(1);
  return stream;
}

async function isServed(stream: AdsStream, istiod: FakeIstiod, at: number): Promise<void> {
  istiod.streams[at]?.send({ typeUrl: CDS, nonce: "n" });
  await expect.poll(() => stream.received.length).toBe(1);
}

test("reality 38: without an Envoy every client's stream is kept, whatever it calls itself", async () => {
  await using istiod = await startFakeIstiod();
  await using rig = await startRig(istiod.port, { envoys: () => 0 });
  const streams: AdsStream[] = [];
  for (const who of [...CLIENTS, ...ENVOYS]) streams.push(await open(rig, istiod, who));
  for (const [at, stream] of streams.entries()) await isServed(stream, istiod, at);
  expect(rig.log.filter((line) => line.startsWith("warn"))).toEqual([]);
});

test.each(["sotw", "delta"] as const)(
  "reality 38: beside an Envoy gRPC clients end nobody's stream (%s)",
  async (variant) => {
    await using istiod = await startFakeIstiod();
    await using rig = await startRig(istiod.port);
    const envoy = await open(rig, istiod, ENVOYS[0], variant);
    const clients: AdsStream[] = [];
    for (const who of CLIENTS) clients.push(await open(rig, istiod, who, variant));
    const next = await open(rig, istiod, ENVOYS[1], variant);
    expect((await envoy.ended).code).toBe(status.OK);
    const after = await open(rig, istiod, ENVOYS[2], variant);
    expect((await next.ended).code).toBe(status.OK);
    const all = [...clients, after];
    const places = [1, 2, 3, 4, 5, 7];
    for (const [index, stream] of all.entries()) {
      const from = istiod.streams[places[index] ?? 0];
      if (variant === "sotw") from?.send({ typeUrl: CDS, nonce: "n" });
      else from?.sendDelta({ typeUrl: CDS, nonce: "n" });
      await expect.poll(() => stream.received.length).toBe(1);
    }
  },
);

test("reality 38: above the limit a client's stream is refused, those that are there stay, and room is room again", async () => {
  for (const envoys of [0, 1]) {
    await using istiod = await startFakeIstiod();
    await using rig = await startRig(istiod.port, { envoys: () => envoys, maxClients: 2 });
    const [first, second] = [await open(rig, istiod, CLIENTS[0]), await open(rig, istiod, CLIENTS[0])];
    for (let attempt = 0; attempt < 3; attempt++) {
      const refused = rig.connect().open("sotw");
      refused.request({ typeUrl: CDS, node: NODE, ...CLIENTS[0] });
      expect(await refused.ended).toMatchObject({
        code: status.RESOURCE_EXHAUSTED,
        details: "the agent serves 2 streams of gRPC clients, and no more (PILOTBOAT_MAX_XDS_CLIENTS)",
      });
    }
    expect(rig.log.filter((line) => line.startsWith("warn"))).toHaveLength(1);
    first.cancel();
    await expect.poll(() => istiod.streams[0]?.isClosed).toBe(true);
    const third = await open(rig, istiod, CLIENTS[1]);
    const at = istiod.streams.length - 1;
    await isServed(third, istiod, at);
    await isServed(second, istiod, 1);
    if (envoys === 1) await isServed(await open(rig, istiod, ENVOYS[0]), istiod, at + 1);
  }
});

test("reality 38: what a gRPC client refuses, and how its stream ends, is no trouble of the Envoy beside it", async () => {
  await using istiod = await startFakeIstiod();
  await using rig = await startRig(istiod.port, { intercept: { [NDS]: () => undefined } });
  const envoy = await open(rig, istiod, ENVOYS[0]);
  await isServed(envoy, istiod, 0);
  const client = await open(rig, istiod, CLIENTS[0]);
  expect(rig.relay.state().upstream.kind).toBe("responding");
  client.request({ typeUrl: LDS, nonce: "1", rejection: "no such thing as a mesh" });
  await expect.poll(() => rig.log.some((line) => line.includes("gRPC client rejected configuration"))).toBe(true);
  expect(rig.relay.trouble()?.text).toBeUndefined();
  istiod.streams[1]?.end({ code: status.UNAVAILABLE, details: "go away" });
  await client.ended;
  expect(rig.relay.state()).toMatchObject({ upstream: { kind: "responding" }, rejection: undefined });
  envoy.request({ typeUrl: LDS });
  await expect.poll(() => istiod.streams[0]?.requests.map(({ typeUrl }) => typeUrl)).toEqual([CDS, LDS, NDS]);
  expect(istiod.streams[1]?.requests.map(({ typeUrl }) => typeUrl)).toEqual([CDS, LDS]); // the agent asks by Envoy's
});

test("reality 38: streams that never say a word are bounded, and end no Envoy", async () => {
  await using istiod = await startFakeIstiod();
  await using rig = await startRig(istiod.port, { maxClients: 2 });
  const envoy = await open(rig, istiod, ENVOYS[0]);
  const silent = [0, 1, 2].map(() => rig.connect().open("sotw"));
  const ended = await Promise.race(silent.map((stream, at) => stream.ended.then(() => at)));
  silent.splice(ended, 1);
  await isServed(envoy, istiod, 0);
  for (const stream of silent) stream.request({ typeUrl: RDS, ...CLIENTS[0] });
  const asked = () => istiod.streams.filter(({ requests }) => requests[0]?.typeUrl === RDS).length;
  await expect.poll(asked).toBe(2);
});
