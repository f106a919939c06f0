import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { createMetrics, silentLogger } from "../../src/base/index.ts";
import { openLastGood } from "../../src/last-good/index.ts";
import { DELTA, SOTW } from "../../src/proto/ads-variant.ts";
import { encodeFields } from "../../src/proto/wire.ts";
import type { AdsStream, AdsVariant } from "../support/ads-client.ts";
import { type FakeIstiodStream, startFakeIstiod } from "../support/fake-istiod.ts";
import { createMovableClock } from "../support/movable-clock.ts";
import { freePorts } from "../support/ports.ts";
import { createTestCa } from "../support/test-ca.ts";
import { message } from "../support/wire-messages.ts";
import { CDS, LDS, NDS, type Rig, startRig } from "./relay-rig.ts";

const NODE = "sidecar~10.0.0.1~a.b~b.svc.cluster.local";

/** A relay whose last-good configuration lies in a folder, with a port for its control plane. */
interface Keeper extends AsyncDisposable {
  readonly port: number;
  start(options?: Parameters<typeof startRig>[1]): Promise<Rig>;
}

async function startKeeper(): Promise<Keeper> {
  const folder = await mkdtemp(join(tmpdir(), "pb-kept-"));
  const [port = 0] = await freePorts(1);
  return {
    port,
    async start(options = {}) {
      const lastGood = openLastGood({
        ...{ folder: join(folder, "kept"), owner: { nodeId: NODE, others: [] }, mostBytes: 64 * 2 ** 20 },
        ...{ log: silentLogger, metrics: createMetrics("") },
      });
      const rig = await startRig(port, { lastGood, ...options });
      const dispose = async (): Promise<void> => {
        await rig[Symbol.asyncDispose]();
        await lastGood[Symbol.asyncDispose]();
      };
      return { ...rig, [Symbol.asyncDispose]: dispose };
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

function sendState(stream: FakeIstiodStream, typeUrl: string, bytes = 10): void {
  const resource = { typeUrl, value: encodeFields({ 1: "a", 99: Buffer.alloc(bytes, "x") }) };
  if (stream.variant === "sotw") stream.send({ typeUrl, nonce: typeUrl, versionInfo: "7", resources: [resource] });
  else stream.sendDelta({ typeUrl, nonce: typeUrl, resources: [{ name: "a", version: "7", resource }] });
}

/** Envoy boots while the control plane is there, and accepts clusters of that size and listeners. */
async function fill(keeper: Keeper, variant: AdsVariant, bytes?: number, hasNames = false): Promise<void> {
  await using rig = await keeper.start({ intercept: hasNames ? { [NDS]: () => undefined } : {} });
  await using istiod = await startFakeIstiod({ port: keeper.port });
  const envoy = rig.connect().open(variant);
  await boot(envoy);
  const types = hasNames ? [CDS, LDS, NDS] : [CDS, LDS];
  const stream = () => istiod.streams[0];
  await expect.poll(() => stream()?.requests.length).toBe(types.length);
  for (const typeUrl of types) sendState(stream() as FakeIstiodStream, typeUrl, typeUrl === CDS ? bytes : 10);
  await expect.poll(() => envoy.received.length).toBe(2);
  for (const typeUrl of [CDS, LDS]) envoy.request({ typeUrl, nonce: typeUrl, versionInfo: "7" });
  await expect.poll(() => stream()?.requests.length).toBe(2 * types.length);
  expect(rig.relay.stale()).toBeUndefined();
}

/** An Envoy that has the clusters and listeners that `fill` left. */
function reconnect(envoy: AdsStream, variant: AdsVariant): void {
  for (const typeUrl of [CDS, LDS]) {
    const node = message([1, NODE], [6, "envoy"]); // its id, and its user agent
    const { request } = variant === "sotw" ? SOTW : DELTA;
    const has =
      variant === "sotw" ? ([1, "7"] as const) : ([request.initialVersions ?? 0, message([1, "a"], [2, "7"])] as const);
    envoy.sendRaw(message([request.node, node], [request.typeUrl, typeUrl], has));
  }
}

async function boot(envoy: AdsStream, node = NODE, userAgent = "envoy"): Promise<void> {
  envoy.request({ typeUrl: CDS, node, userAgent });
  envoy.request({ typeUrl: LDS });
}

describe.each(["sotw", "delta"] as const)("%s", (variant) => {
  test("while the control plane is away a new Envoy gets what the last one accepted, until it is back", async () => {
    await using keeper = await startKeeper();
    await fill(keeper, variant, 3_000_000);
    await using rig = await keeper.start({ intercept: { [NDS]: () => undefined } });
    const client = rig.connect();
    const envoy = client.open(variant);
    await boot(envoy);
    await expect.poll(() => envoy.responses.map(({ typeUrl }) => typeUrl)).toEqual([CDS, LDS]);
    expect(envoy.received[0]?.length).toBeGreaterThan(3_000_000);
    for (const { typeUrl, nonce } of envoy.responses) envoy.request({ typeUrl, nonce, versionInfo: "7" });
    expect(rig.relay.stale()).toMatchObject({ acceptedMs: expect.any(Number) });
    expect(rig.metric("xds_last_good_served")).toMatch(/ 1$/);
    expect(rig.relay.trouble()?.text).toContain("ECONNREFUSED");
    await expect.poll(() => rig.relay.types().map(({ state }) => state)).toEqual(["SYNCED", "SYNCED"]);

    await using istiod = await startFakeIstiod({ port: keeper.port });
    expect(await envoy.ended).toMatchObject({ code: 0 });
    expect(rig.relay.stale()).toBeDefined();
    const next = client.open(variant);
    await boot(next);
    await expect.poll(() => istiod.streams.at(-1)?.requests.length).toBeGreaterThanOrEqual(2);
    sendState(istiod.streams.at(-1) as FakeIstiodStream, CDS);
    await expect.poll(() => next.received.length).toBe(1);
    expect(rig.relay.stale()).toBeUndefined();
    expect(rig.metric("xds_last_good_served")).toMatch(/ 0$/);
    const told = rig.log.filter((line) => /accepted|up to date/.test(line));
    expect(told).toEqual([
      expect.stringMatching(/^warn.*The control plane is away: .*accepted=2.*reason=connect ECONNREFUSED/),
      expect.stringMatching(/^info.*Envoy's configuration is up to date again/),
    ]);
  });

  test("who is refused gets nothing", async () => {
    await using keeper = await startKeeper();
    await fill(keeper, variant);
    await using rig = await keeper.start();
    await using _istiod = await startFakeIstiod({
      port: keeper.port,
      onStream: (stream) => stream.end({ code: 7, details: "not you" }),
    });
    const envoy = rig.connect().open(variant);
    await boot(envoy);
    expect(await envoy.ended).toMatchObject({ code: 7, details: "not you" });
    expect(envoy.received).toEqual([]);
  });

  test("credentials that nobody answers for are no refusal, and those that are refused are one", async () => {
    await using keeper = await startKeeper();
    await fill(keeper, variant);
    let reason = "403 Forbidden: not you";
    const metadata = (): Promise<never> => Promise.reject(new Error(reason));
    await using rig = await keeper.start({ upstream: { credentials: { tls: async () => "plaintext", metadata } } });
    const client = rig.connect();
    const refused = client.open(variant);
    await boot(refused);
    expect(await refused.ended).toMatchObject({ code: 16 });
    expect(refused.received).toEqual([]);
    reason = "connect ECONNREFUSED 127.0.0.1:80";
    const envoy = client.open(variant);
    await boot(envoy);
    await expect.poll(() => envoy.received.length).toBe(2);
  });

  test("whose certificate is refused gets nothing", async () => {
    await using keeper = await startKeeper();
    await fill(keeper, variant);
    const ca = await createTestCa();
    const server = await ca.issue({ dns: ["istiod.test"] });
    await using _istiod = await startFakeIstiod({ port: keeper.port, tls: { ...server, clientCa: ca.certPem } });
    const tls = async () => ({ roots: Buffer.from(ca.certPem), serverName: "istiod.test" });
    await using rig = await keeper.start({ upstream: { credentials: { tls, metadata: async () => [] } } });
    const envoy = rig.connect().open(variant);
    await boot(envoy);
    expect(await envoy.ended).toMatchObject({ code: 14, details: expect.stringMatching(/certificate.required/i) });
    expect(envoy.received).toEqual([]);
  });

  test("a gRPC client, and an Envoy of another node, are not answered in the control plane's place", async () => {
    await using keeper = await startKeeper();
    await fill(keeper, variant);
    await using rig = await keeper.start();
    const client = rig.connect();
    for (const [node, userAgent] of [
      [NODE, "gRPC Go"],
      ["sidecar~10.0.0.2~c.d~d.svc.cluster.local", "envoy"],
    ] as const) {
      const stream = client.open(variant);
      await boot(stream, node, userAgent);
      expect(await stream.ended).toMatchObject({ code: 14 });
      expect(stream.received).toEqual([]);
    }
  });

  test("a control plane that takes the stream and says nothing counts as away after 20 s", async () => {
    await using keeper = await startKeeper();
    await fill(keeper, variant);
    const clock = createMovableClock();
    await using rig = await keeper.start({ clock });
    await using istiod = await startFakeIstiod({ port: keeper.port });
    const envoy = rig.connect().open(variant);
    await boot(envoy);
    await expect.poll(() => istiod.streams[0]?.requests.length).toBe(2);
    await clock.advance(19_000);
    expect(envoy.received).toEqual([]);
    await clock.advance(2_000);
    await expect.poll(() => envoy.received.length).toBe(2);
    expect(rig.relay.trouble()?.text).toContain("connected, but no response within 20s");
    sendState(istiod.streams[0] as FakeIstiodStream, CDS);
    expect(await envoy.ended).toMatchObject({ code: 0 });
    expect(envoy.received).toHaveLength(2);
  });

  test("a control plane whose first answer takes longer than that is waited for on the next stream", async () => {
    await using keeper = await startKeeper();
    await fill(keeper, variant);
    const clock = createMovableClock();
    await using rig = await keeper.start({ clock });
    await using istiod = await startFakeIstiod({ port: keeper.port });
    const client = rig.connect();
    const envoy = client.open(variant);
    await boot(envoy);
    await expect.poll(() => istiod.streams[0]?.requests.length).toBe(2);
    await clock.advance(21_000);
    await expect.poll(() => envoy.received.length).toBe(2);
    sendState(istiod.streams[0] as FakeIstiodStream, CDS);
    expect(await envoy.ended).toMatchObject({ code: 0 });
    const next = client.open(variant);
    await boot(next);
    await expect.poll(() => istiod.streams[1]?.requests.length).toBe(2);
    await clock.advance(60_000);
    expect(next.received).toEqual([]);
    sendState(istiod.streams[1] as FakeIstiodStream, CDS);
    await expect.poll(() => next.responses.map(({ nonce }) => nonce)).toEqual([CDS]);
    expect(rig.relay.stale()).toBeUndefined();
  });

  test("a control plane that ends each stream with UNAVAILABLE is not back, and the log says once that it is away", async () => {
    await using keeper = await startKeeper();
    await fill(keeper, variant);
    await using rig = await keeper.start();
    await using istiod = await startFakeIstiod({
      port: keeper.port,
      onStream: (stream) => stream.end({ code: 14, details: "no healthy upstream" }),
    });
    const client = rig.connect();
    const envoy = client.open(variant);
    await boot(envoy);
    await expect.poll(() => envoy.received.length).toBe(2);
    let hasEnded = false;
    void envoy.ended.then(() => {
      hasEnded = true;
    });
    await expect.poll(() => istiod.streams.length, { timeout: 10_000 }).toBe(3);
    expect(hasEnded).toBe(false);
    envoy.cancel();
    const next = client.open(variant);
    await boot(next);
    await expect.poll(() => next.received.length).toBe(2);
    expect(rig.log.filter((line) => line.includes("The control plane is away"))).toHaveLength(1);
  });
});

test.each(["sotw", "delta"] as const)(
  "%s: what only the agent lacks takes over no Envoy that runs",
  async (variant) => {
    await using keeper = await startKeeper();
    await fill(keeper, variant, 10, true);
    await using rig = await keeper.start({ intercept: { [NDS]: () => undefined } });
    const envoy = rig.connect().open(variant);
    reconnect(envoy, variant);
    expect(await envoy.ended).toMatchObject({ code: 14 });
    expect(envoy.received).toEqual([]);
    expect(rig.relay.stale()).toBeUndefined();
  },
);

test("once the control plane answers one of two Envoys, the stand-in for the other ends at once", async () => {
  await using keeper = await startKeeper();
  await fill(keeper, "delta");
  const clock = createMovableClock(); // it stands still: the stand-in itself would not look after the control plane
  await using rig = await keeper.start({ clock, envoys: () => 2 });
  const client = rig.connect();
  const next = client.open("delta");
  await boot(next);
  await expect.poll(() => next.received.length).toBe(2);
  await using istiod = await startFakeIstiod({ port: keeper.port });
  const old = client.open("delta");
  reconnect(old, "delta");
  await expect.poll(() => istiod.streams[0]?.requests.length).toBe(2);
  sendState(istiod.streams[0] as FakeIstiodStream, CDS);
  await expect.poll(() => old.received.length).toBe(1);
  expect(await next.ended).toMatchObject({ code: 0 });
  expect(rig.relay.stale()).toBeUndefined();
});

/** Of a hot restart: an Envoy with a live stream to the control plane, which new streams do not reach while `isAway`. */
async function startServed(keeper: Keeper) {
  await fill(keeper, "delta");
  const around = { isAway: false };
  const metadata = async (): Promise<[]> => {
    if (around.isAway) throw new Error("connect ECONNREFUSED 127.0.0.1:80");
    return [];
  };
  const rig = await keeper.start({
    envoys: () => 2,
    upstream: { credentials: { tls: async () => "plaintext", metadata } },
  });
  const istiod = await startFakeIstiod({ port: keeper.port });
  const client = rig.connect();
  const old = client.open("delta");
  await boot(old);
  await expect.poll(() => istiod.streams[0]?.requests.length).toBe(2);
  const [live] = istiod.streams as [FakeIstiodStream];
  for (const typeUrl of [CDS, LDS]) sendState(live, typeUrl);
  await expect.poll(() => old.received.length).toBe(2);
  for (const typeUrl of [CDS, LDS]) old.request({ typeUrl, nonce: typeUrl });
  await expect.poll(() => live.requests.length).toBe(4);
  around.isAway = true;
  return {
    ...{ around, rig, istiod, client, old, live },
    /** The next Envoy, with what the one before accepted last. */
    async bootNext(): Promise<AdsStream> {
      const next = client.open("delta");
      await boot(next);
      await expect.poll(() => next.received.length).toBe(2);
      expect(rig.relay.stale()).toBeDefined();
      return next;
    },
    /** The control plane has another version, which the old Envoy takes. */
    async push(): Promise<void> {
      const [received, requests] = [old.received.length, live.requests.length];
      live.sendDelta({ typeUrl: CDS, nonce: "push", resources: [] });
      await expect.poll(() => old.received.length).toBe(received + 1);
      old.request({ typeUrl: CDS, nonce: "push" });
      await expect.poll(() => live.requests.length).toBe(requests + 1);
    },
    async [Symbol.asyncDispose]() {
      await rig[Symbol.asyncDispose]();
      await istiod[Symbol.asyncDispose]();
    },
  };
}

/** The control plane is back: the stand-in of that stream ends, and the stream that Envoy opens then is no longer stale. */
async function expectConfirmed({ rig, istiod, around, client }: Served, stream: AdsStream): Promise<void> {
  around.isAway = false;
  expect(await stream.ended).toMatchObject({ code: 0 });
  expect(rig.relay.stale()).toBeDefined();
  const again = client.open("delta");
  reconnect(again, "delta");
  await expect.poll(() => istiod.streams.at(-1)?.requests.length).toBe(2);
  sendState(istiod.streams.at(-1) as FakeIstiodStream, CDS);
  await expect.poll(() => again.received.length).toBe(1);
  expect(rig.relay.stale()).toBeUndefined();
}

type Served = Awaited<ReturnType<typeof startServed>>;

test("the next Envoy is stale until the control plane answers it, whatever the old one's live stream still brings", async () => {
  await using keeper = await startKeeper();
  await using served = await startServed(keeper);
  const { rig } = served;
  rig.relay.turnToNext();
  const next = await served.bootNext();
  const types = rig.relay.types();
  await served.push();
  expect(rig.relay.stale()).toBeDefined();
  expect(rig.metric("xds_last_good_served")).toMatch(/ 1$/);
  expect(rig.relay.types()).toEqual(types);
  expect(rig.log.join("\n")).not.toContain("up to date again");

  await expectConfirmed(served, next);
});

test("a next Envoy that does not take over leaves no trace: the old one is as stale as it was, with the types that it has", async () => {
  await using keeper = await startKeeper();
  await using served = await startServed(keeper);
  const { rig } = served;
  const types = rig.relay.types();
  expect(types.map(({ state }) => state)).toEqual(["SYNCED", "SYNCED"]);
  const goBack = rig.relay.turnToNext();
  (await served.bootNext()).cancel();
  goBack();
  expect(rig.relay.stale()).toBeUndefined();
  expect(rig.metric("xds_last_good_served")).toMatch(/ 0$/);
  expect(rig.relay.types()).toEqual(types);
  await served.push();
  expect(rig.relay.types()[0]?.syncedMs).toBeGreaterThan(types[0]?.syncedMs ?? Number.POSITIVE_INFINITY);

  rig.relay.turnToNext(); // and that one takes over
  const active = await served.bootNext();
  const stale = rig.relay.stale();
  const goBackAgain = rig.relay.turnToNext();
  (await served.bootNext()).cancel();
  goBackAgain();
  expect(rig.relay.stale()).toEqual(stale);
  await expectConfirmed(served, active);
});

test("an Envoy that has its configuration keeps it, and is told of the failure as ever", async () => {
  await using keeper = await startKeeper();
  await fill(keeper, "sotw");
  await using rig = await keeper.start();
  const envoy = rig.connect().open("sotw");
  envoy.request({ typeUrl: CDS, node: NODE, userAgent: "envoy", versionInfo: "7" });
  envoy.request({ typeUrl: LDS, versionInfo: "7" });
  expect(await envoy.ended).toMatchObject({ code: 14 });
  expect(envoy.received).toEqual([]);
  expect(rig.relay.stale()).toBeUndefined();
});
