import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { DISPENSABLE_FILTERS } from "../../src/xds/dispensable-filters.ts";
import { leaveOut, type Omission } from "../../src/xds/leave-out.ts";
import { DELTA, SOTW, type Variant } from "../../src/xds/variant.ts";
import { any, message, typedStruct } from "../support/wire-messages.ts";

const CLUSTER = "envoy.config.cluster.v3.Cluster";
const LISTENER = "envoy.config.listener.v3.Listener";
const EXTENSION = "envoy.config.core.v3.TypedExtensionConfig";
const MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const ROUTER = any("envoy.extensions.filters.http.router.v3.Router");
const PROXY = any("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", message([1, "tcp"], [2, "web"]));
const MX = "envoy.tcp.metadataexchange.config.MetadataExchange";
const PEER = "io.istio.http.peer_metadata.Config";
const ALPN = "istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig";
const STATS = "stats.PluginConfig";
const UNKNOWN = "istio.envoy.config.filter.http.authn.v2alpha1.FilterConfig";

/** What an older or newer control plane may send: a number, 32 and 64 bits, and a text under numbers that nobody knows. */
const LATER = Buffer.concat([
  message([1_000, 7], [1_001, "later"]),
  Buffer.from([0xd5, 0x3e, 1, 2, 3, 4]), // field 1002, 32 bits
  Buffer.from([0xd9, 0x3e, 1, 2, 3, 4, 5, 6, 7, 8]), // field 1003, 64 bits
]);

function response(variant: Variant, resources: readonly Buffer[]): Buffer {
  const { response: fields } = variant;
  const entries = resources.map((resource, at) =>
    fields.anyInResource === undefined
      ? resource
      : message([1, `v${at}`], [fields.anyInResource, resource], [3, `r${at}`]),
  );
  return Buffer.concat([
    message([fields.versionInfo, "7"]),
    ...entries.map((entry) => message([fields.resources, entry])),
    message([fields.typeUrl, "t"], [fields.nonce, "n"]),
    LATER,
  ]);
}

function adapt(bytes: Uint8Array, variant: Variant = DELTA, types = DISPENSABLE_FILTERS.map(({ type }) => type)) {
  const omissions: Omission[] = [];
  const unwanted = new Map(
    DISPENSABLE_FILTERS.filter(({ type }) => types.includes(type)).map((one) => [one.type, one]),
  );
  const adapted = leaveOut(bytes, { variant, unwanted, onOmission: (omission) => omissions.push(omission) });
  return { bytes: Buffer.from(adapted), isSame: adapted === bytes, omissions };
}

const http = (name: string, config: Buffer) => message([1, name], [4, config], [7, true]);
const network = http;
const ofCluster = (name: string, config: Buffer) => message([1, name], [2, config]);
const manager = (...filters: Buffer[]) =>
  network(
    "envoy.filters.network.http_connection_manager",
    any(MANAGER, Buffer.concat([message([2, "stat"], ...filters.map((one) => [5, one] as const)), LATER])),
  );
const chain = (...filters: Buffer[]) =>
  Buffer.concat([message([1, message([8, 80])], ...filters.map((one) => [3, one] as const), [7, "chain"]), LATER]);
const listener = (...fields: (readonly [number, Buffer])[]) =>
  any(LISTENER, Buffer.concat([message([1, "in"], ...fields, [16, 2]), LATER]));
const cluster = (...fields: (readonly [number, Buffer])[]) =>
  any(CLUSTER, Buffer.concat([message([1, "out"], [2, 3], ...fields), LATER]));
const options = (...filters: Buffer[]) =>
  message(
    [1, "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"],
    [
      2,
      any(
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        message([4, ""], ...filters.map((one) => [6, one] as const)),
      ),
    ],
  );
const router = http("envoy.filters.http.router", ROUTER);
const upgrade = (...filters: Buffer[]) => message([1, "websocket"], ...filters.map((one) => [2, one] as const));
const upgrading = (...filters: Buffer[]) =>
  network("hcm", any(MANAGER, message([5, router], [23, upgrade(...filters)])));
const discovered = (...types: string[]) =>
  message([1, "later"], [5, message([1, ""], ...types.map((type) => [4, `type.googleapis.com/${type}`] as const))]);
const extension = (config: Buffer) => any(EXTENSION, message([1, "ext"], [2, config]));

const ofManager = (extra: Buffer[]) => listener([3, chain(manager(...extra, router))]);
const cases: readonly [string, string, (extra: Buffer[]) => Buffer, Buffer][] = [
  [
    "a cluster's network filters",
    MX,
    (x) => cluster(...x.map((one) => [40, one] as const), [40, ofCluster("kept", PROXY)]),
    ofCluster("mx", typedStruct(MX)),
  ],
  ["a cluster's HTTP filters", PEER, (x) => cluster([36, options(...x, router)]), http("mx", typedStruct(PEER))],
  [
    "a filter chain",
    STATS,
    (x) => listener([3, chain(...x, network("tcp", PROXY))], [3, chain(network("tcp", PROXY))]),
    network("istio.stats", any(STATS, message([1, 2]))),
  ],
  [
    "the default filter chain",
    MX,
    (x) => listener([25, chain(...x, network("tcp", PROXY))]),
    network("mx", typedStruct(MX, "udpa.type.v1.TypedStruct")),
  ],
  ["the HTTP filters of a connection manager", ALPN, ofManager, http("istio.alpn", any(ALPN, message([1, "x"])))],
  ["the HTTP filters as TypedStruct", STATS, ofManager, http("any name", typedStruct(STATS))],
  [
    "the filters of an upgrade",
    PEER,
    (x) => listener([25, chain(upgrading(...x, router))]),
    http("mx", typedStruct(PEER)),
  ],
  ["a filter that is discovered", PEER, ofManager, discovered(PEER)],
  [
    "a connection manager that is discovered",
    STATS,
    (x) => extension(any(MANAGER, message(...x.map((one) => [5, one] as const), [5, router]))),
    http("istio.stats", any(STATS)),
  ],
];

for (const variant of [DELTA, SOTW]) {
  test.each(cases)(
    `${variant.name}: without a filter in %s all other bytes are the same`,
    (_place, type, resource, filter) => {
      const others = [cluster([40, ofCluster("tcp", PROXY)]), listener([3, chain(manager(router))])];
      const result = adapt(response(variant, [...others, resource([filter]), ...others]), variant);
      expect(result.bytes).toEqual(response(variant, [...others, resource([]), ...others]));
      expect(result.omissions).toHaveLength(1);
      expect(result.omissions[0]?.type).toBe(type);
    },
  );

  test.each(cases)(`${variant.name}: several filters in %s go together`, (_place, _type, resource, filter) => {
    const result = adapt(response(variant, [resource([filter, filter])]), variant);
    expect(result.bytes).toEqual(response(variant, [resource([])]));
  });

  test.each(cases)(`${variant.name}: a filter in %s that this Envoy has stays`, (_place, type, resource, filter) => {
    const rest = DISPENSABLE_FILTERS.map((one) => one.type).filter((one) => one !== type);
    expect(adapt(response(variant, [resource([filter])]), variant, rest)).toMatchObject({
      isSame: true,
      omissions: [],
    });
  });

  test(`${variant.name}: an extension configuration of such a type is gone, with its name and version`, () => {
    const kept = extension(ROUTER);
    const result = adapt(response(variant, [kept, extension(any(STATS))]), variant);
    expect(result.bytes).toEqual(response(variant, [kept]));
    expect(result.omissions).toEqual([{ filter: "ext", type: STATS, place: 'extension configuration "ext"' }]);
  });
}

test("whole states with a time to live have their resources wrapped", () => {
  const wrapped = (extra: Buffer[]) =>
    any("envoy.service.discovery.v3.Resource", message([3, "r"], [2, ofManager(extra)]));
  const result = adapt(response(SOTW, [wrapped([http("a", any(ALPN))])]), SOTW);
  expect(result.bytes).toEqual(response(SOTW, [wrapped([])]));
});

test.each([
  ["a filter that nobody has judged", ofManager([http("istio_authn", any(UNKNOWN))])],
  ["one of its type as TypedStruct", ofManager([http("istio.stats", typedStruct(UNKNOWN))])],
  ["the name of a filter that may go with another type", cluster([40, ofCluster("istio.metadata_exchange", PROXY)])],
  ["such a type somewhere else", cluster([25, message([1, message([1, STATS], [2, any(STATS)])])])],
  ["a discovered filter that may also be another one", ofManager([discovered(PEER, UNKNOWN)])],
  ["a route", any("envoy.config.route.v3.RouteConfiguration", message([1, STATS]))],
])("%s is passed on as it is", (_what, resource) => {
  expect(adapt(response(DELTA, [resource]))).toMatchObject({ isSame: true, omissions: [] });
});

const tls = (type: string, ...protocols: string[]) =>
  message(
    [1, "envoy.transport_sockets.tls"],
    [
      3,
      any(
        `envoy.extensions.transport_sockets.tls.v3.${type}`,
        message([1, message([6, "sds"], ...protocols.map((one) => [4, one] as const))], [2, "sni"]),
      ),
    ],
  );

/** Source: istio/proxy metadata_exchange.cc: where this protocol is agreed on, the peer writes its metadata into the stream. */
test("with the exchange of metadata over TCP goes its ALPN protocol, there and nowhere else", () => {
  const mx = (kind: typeof ofCluster) => kind("mx", typedStruct(MX));
  const clusterOf = (filters: Buffer[], ...protocols: string[]) =>
    cluster(
      ...filters.map((one) => [40, one] as const),
      [43, message([1, "tlsMode-istio"], [3, tls("UpstreamTlsContext", ...protocols)])],
      [24, tls("UpstreamTlsContext", ...protocols)],
    );
  const chainOf = (filters: Buffer[], ...protocols: string[]) =>
    message(...[...filters, network("tcp", PROXY)].map((one) => [3, one] as const), [
      6,
      tls("DownstreamTlsContext", ...protocols),
    ]);
  const all = ["istio-peer-exchange", "h2", "http/1.1"];
  const resources = (isAdapted: boolean) => [
    clusterOf(isAdapted ? [] : [mx(ofCluster)], ...all.slice(isAdapted ? 1 : 0)),
    clusterOf([], ...all),
    listener(
      [3, chainOf(isAdapted ? [] : [mx(network)], ...all.slice(isAdapted ? 1 : 0))],
      [3, chainOf([], ...all)],
      [25, chainOf(isAdapted ? [] : [mx(network)], ...all.slice(isAdapted ? 1 : 0))],
    ),
  ];
  expect(adapt(response(DELTA, resources(false))).bytes).toEqual(response(DELTA, resources(true)));
});

test.each([
  ["sidecar-clusters", [MX]],
  ["sidecar-listeners", [MX, PEER, ALPN, STATS]],
  ["gateway-clusters", [MX]],
  ["gateway-listeners", [PEER, ALPN, STATS]],
])("what an istiod with its defaults sends has nothing of them left: %s", (name, types) => {
  const sent = readFileSync(`test/fixtures/istiod/${name}.bin`);
  const result = adapt(sent);
  expect(new Set(result.omissions.map(({ type }) => type))).toEqual(new Set(types));
  for (const { type } of DISPENSABLE_FILTERS) expect(result.bytes.includes(type)).toBe(false);
  const again = adapt(result.bytes);
  expect(again.isSame).toBe(true);
  const kept = (bytes: Buffer) => bytes.toString("latin1").match(/envoy\.extensions\.[\w.]+/g)?.length;
  expect(kept(result.bytes)).toBe(kept(sent));
});

test("bytes that are no protobuf are told", () => {
  const broken = message([2, any(CLUSTER, Buffer.from([0xff, 0xff]))]);
  expect(() => adapt(broken)).toThrow();
});
