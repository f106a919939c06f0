import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { DISPENSABLE_FILTERS } from "../../src/xds/dispensable-filters.ts";
import { DELTA, SOTW, type Variant } from "../../src/xds/variant.ts";
import { type FakeIstiod, startFakeIstiod } from "../support/fake-istiod.ts";
import { any, firstRequest, message, typedStruct } from "../support/wire-messages.ts";
import { CDS, LDS, type Rig, startRig } from "./relay-rig.ts";

const LISTENERS = readFileSync("test/fixtures/istiod/sidecar-listeners.bin"); // a delta response of a real istiod
const STOCK = ["envoy.extensions.filters.http.router.v3.Router"];
const ISTIOS = DISPENSABLE_FILTERS.map(({ type }) => type);
const STATS = "stats.PluginConfig";
const MX = "envoy.tcp.metadataexchange.config.MetadataExchange";

/** A cluster with one filter, as a response of either form. */
function clusters(variant: Variant, filter: Buffer): Buffer {
  const resource = any(
    "envoy.config.cluster.v3.Cluster",
    message([1, "web"], [40, message([1, "a filter"], [2, filter])]),
  );
  const { resources, typeUrl, nonce, anyInResource } = variant.response;
  const entry = anyInResource === undefined ? resource : message([anyInResource, resource], [3, "web"]);
  return message([resources, entry], [typeUrl, CDS], [nonce, "n1"]);
}

const BROKEN = message(
  [2, message([2, any("envoy.config.cluster.v3.Cluster", Buffer.concat([Buffer.from([255]), Buffer.from(STATS)]))])],
  [4, CDS],
);

/** What an Envoy with those extensions gets of a response. */
async function relay(
  rig: Rig,
  istiod: FakeIstiod,
  { sent, extensions, variant = DELTA }: { sent: Buffer; extensions: readonly string[]; variant?: Variant },
) {
  const envoy = rig.connect().open(variant.name);
  const before = istiod.streams.length;
  envoy.sendRaw(firstRequest(variant, LDS, extensions));
  await expect.poll(() => istiod.streams.length).toBe(before + 1);
  istiod.streams[before]?.sendRaw(sent);
  await expect.poll(() => envoy.received.length).toBe(1);
  const reject = (rejection: string) => envoy.request({ typeUrl: CDS, nonce: "n1", rejection });
  return { received: envoy.received[0] ?? Buffer.alloc(0), reject };
}

test("what a real istiod sends is fit for an Envoy without its filters; each is told once", async () => {
  await using istiod = await startFakeIstiod();
  await using rig = await startRig(istiod.port, { stockEnvoy: "adapt" });
  for (let time = 0; time < 2; time++) {
    const { received } = await relay(rig, istiod, { sent: LISTENERS, extensions: STOCK });
    for (const type of ISTIOS) expect(received.includes(type)).toBe(false);
    expect(received.length).toBeGreaterThan(LISTENERS.length / 2);
  }
  const told = rig.log.filter((line) => line.includes("left out"));
  expect(told).toHaveLength(4);
  expect(told).toContainEqual(
    expect.stringMatching(
      /^warn\t.*"istio\.stats" \(stats\.PluginConfig\).*lost=Istio's standard metrics .*first=listener "/,
    ),
  );
  expect(rig.relay.leftOut().map(({ filter, type }) => [filter, type])).toEqual([
    ["istio.metadata_exchange", "io.istio.http.peer_metadata.Config"],
    ["istio.alpn", "istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig"],
    ["istio.stats", STATS],
    ["istio.metadata_exchange", MX],
  ]);
});

test.each([
  ["Istio's own Envoy", "adapt", ISTIOS, LISTENERS],
  ["an Envoy that lists nothing", "adapt", [], LISTENERS],
  ["any Envoy with refuse", "refuse", STOCK, LISTENERS],
  ["any Envoy, of a filter that nobody has judged", "adapt", STOCK, clusters(DELTA, typedStruct("istio.authn.Config"))],
  ["any Envoy, of a cluster that cannot be read", "adapt", STOCK, BROKEN],
] as const)("every byte is passed on to %s", async (_who, stockEnvoy, extensions, sent) => {
  await using istiod = await startFakeIstiod();
  await using rig = await startRig(istiod.port, { stockEnvoy });
  const { received } = await relay(rig, istiod, { sent: Buffer.from(sent), extensions });
  expect(received.equals(sent)).toBe(true);
  expect(rig.log.filter((line) => line.startsWith("error"))).toEqual([]);
});

test.each([SOTW, DELTA])("each stream is judged by its own Envoy ($name)", async (variant) => {
  await using istiod = await startFakeIstiod();
  await using rig = await startRig(istiod.port, { stockEnvoy: "adapt", envoys: () => 2 });
  const sent = clusters(variant, typedStruct(MX));
  const stock = await relay(rig, istiod, { sent, extensions: STOCK, variant });
  const istios = await relay(rig, istiod, { sent, extensions: [...STOCK, MX], variant });
  expect(stock.received.includes(MX)).toBe(false);
  expect(istios.received.equals(sent)).toBe(true);
});

test("a gRPC client gets every byte", async () => {
  await using istiod = await startFakeIstiod();
  await using rig = await startRig(istiod.port, { stockEnvoy: "adapt" });
  const client = rig.connect().open("delta");
  client.request({ typeUrl: LDS, userAgent: "gRPC Go" });
  await expect.poll(() => istiod.streams.length).toBe(1);
  istiod.streams[0]?.sendRaw(LISTENERS);
  await expect.poll(() => client.received.length).toBe(1);
  expect(client.received[0]?.equals(LISTENERS)).toBe(true);
});

const words = (name: string, type: string) =>
  `Error adding/updating cluster(s) web: Didn't find a registered implementation for '${name}' with type URL: '${type}'`;

test("with refuse the refusal comes with all that is missing and both remedies", async () => {
  await using istiod = await startFakeIstiod();
  await using rig = await startRig(istiod.port);
  const { reject } = await relay(rig, istiod, { sent: LISTENERS, extensions: STOCK });
  reject(`${words("istio.stats", STATS)}, ${"and more clusters ".repeat(100)}`);
  await expect.poll(() => rig.relay.refusal()?.text).toBeDefined();
  const refusal = rig.relay.refusal()?.text ?? "";
  expect(refusal).toMatch(
    /^Envoy rejected .*Cluster: this Envoy does not have .*"istio\.stats" \(stats\.PluginConfig\)/,
  );
  expect(refusal).toContain('"istio.alpn"');
  expect(refusal).toContain("start with --stock-envoy adapt");
  expect(refusal).toContain("lost: ");
  expect(refusal).toContain("or take Istio's Envoy (--envoy PATH");
  expect(refusal.length).toBeLessThan(2_000);
  expect(rig.log.filter((line) => line.includes("rejected configuration"))).toEqual([
    expect.stringContaining("remedy="),
  ]);
  expect(rig.relay.leftOut()).toEqual([]);
});

test.each(["adapt", "refuse"] as const)(
  "a filter that may carry policy is refused with one remedy (%s)",
  async (stockEnvoy) => {
    await using istiod = await startFakeIstiod();
    await using rig = await startRig(istiod.port, { stockEnvoy });
    const { reject } = await relay(rig, istiod, {
      sent: clusters(DELTA, typedStruct("a.b.Config")),
      extensions: STOCK,
    });
    reject(words("istio_authn", "a.b.Config"));
    await expect.poll(() => rig.relay.refusal()?.text).toBeDefined();
    expect(rig.relay.refusal()?.text).toContain(`does not have "istio_authn" (a.b.Config)`);
    expect(rig.relay.refusal()?.text).toContain("take Istio's Envoy");
    expect(rig.relay.refusal()?.text).not.toContain("--stock-envoy");
  },
);

test("a refusal about something else is passed on in Envoy's words alone", async () => {
  await using istiod = await startFakeIstiod();
  await using rig = await startRig(istiod.port);
  const { reject } = await relay(rig, istiod, { sent: LISTENERS, extensions: STOCK });
  reject("cannot bind");
  await expect.poll(() => rig.relay.refusal()?.text).toBe(`Envoy rejected ${CDS}: cannot bind`);
});
