import { stringify } from "yaml";
import { Chance } from "../../../support/chance.ts";
import type { Chances } from "../../subject.ts";
import type { ProxyInput } from "../input.ts";
import { ANNOTATIONS, LABELS, MESH } from "./make.ts";

/** Inputs that one number repeats: each combines many settings, most of them right. */
export function inputsByChance({ seed, count }: Chances): ProxyInput[] {
  return Array.from({ length: count }, (_, at) => {
    const chance = new Chance(seed * 100_003 + at);
    return { name: `by chance, ${at + 1} of seed ${seed}`, ...make(chance) };
  });
}

function make(chance: Chance): Omit<ProxyInput, "name"> {
  const addresses = chance.one(ADDRESSES);
  const config = (): string => document(chance, Object.fromEntries(chance.some(5, () => field(chance))));
  const annotations = [
    ...chance.some(3, () => [chance.one(STATISTICS), list(chance)] as const),
    ...chance.some(1, () => ["proxy.istio.io/config", config()] as const),
    ...chance.some(2, () => [`example.org/${word(chance)}`, text(chance)] as const),
  ];
  const labels = chance.some(4, () => [chance.one(LABEL_KEYS), chance.one([word(chance), text(chance)])] as const);
  const isThere = (): boolean => chance.below(3) > 0;
  return {
    args: [...chance.one(ROLES), ...chance.some(2, () => chance.one(FLAGS))],
    addresses,
    env: {
      INSTANCE_IP: chance.one([...addresses, ...addresses, "10.9.9.9/8", ""]).replace(/\/.*/, "") || undefined,
      ISTIO_DUAL_STACK: chance.one(["true", "false"]),
      ...(isThere() ? { PROXY_CONFIG: config() } : {}),
      ...Object.fromEntries(chance.some(6, () => variable(chance))),
    },
    files: {
      ...(isThere() ? { [ANNOTATIONS]: lines(annotations) } : {}),
      ...(isThere() ? { [LABELS]: lines(labels) } : {}),
      ...(isThere() ? {} : { [MESH]: `defaultConfig: ${config().startsWith("{") ? config() : "{}"}\n` }),
    },
  };
}

const ROLES = [[], [], ["sidecar"], ["router"], ["router"], ["waypoint"]];
const ADDRESSES = [
  ["10.3.3.3/24"],
  ["2001:db8::5/64"],
  ["10.3.3.3/24", "2001:db8::5/64"],
  ["10.3.3.3/24", "192.0.2.7/24", "10.4.4.4/16"],
  ["2001:db8:1::9/64", "2001:db8::5/64", "10.3.3.3/24"],
];
const FLAGS = [
  "--domain=mesh.local",
  "--serviceCluster=other",
  "--concurrency=3",
  "--outlierLogPath=/dev/stdout",
  "--proxyLogLevel=info,misc:error",
  "--proxyComponentLogLevel=misc:error",
  "--log_as_json",
  "--stsPort=15463",
  "--unknown=flag",
];
const LABEL_KEYS = [
  "app",
  "version",
  "app.kubernetes.io/name",
  "service.istio.io/canonical-name",
  "service.istio.io/canonical-revision",
  "istio-locality",
  "topology.istio.io/locality",
  "pod-template-hash",
  "security.istio.io/tlsMode",
];
const STATISTICS = ["statsInclusionPrefixes", "statsInclusionSuffixes", "statsInclusionRegexps", "extraStatTags"].map(
  (name) => `sidecar.istio.io/${name}`,
);

function variable(chance: Chance): [string, string] {
  return chance.one<() => [string, string]>([
    () => [`ISTIO_META_${chance.one(METADATA)}`, chance.one([word(chance), text(chance), ""])],
    () => [`ISTIO_META_${chance.one(SWITCHES)}`, chance.one(["true", "false", "1", "0", "T", "f"])],
    () => [
      "ISTIO_METAJSON_LABELS",
      JSON.stringify({ [chance.one(LABEL_KEYS)]: text(chance), [word(chance)]: word(chance) }),
    ],
    () => [
      `ISTIO_METAJSON_${word(chance)}`,
      JSON.stringify({ [word(chance)]: json(chance, 3), NETWORK: word(chance) }),
    ],
    () => [chance.one(["ENVOY_PROMETHEUS_PORT", "ENVOY_SECURE_METRICS_PORT"]), String(15_100 + chance.below(9))],
    () => [
      chance.one([
        "ISTIO_DELTA_XDS",
        "EXIT_ON_ZERO_ACTIVE_CONNECTIONS",
        "ENVOY_SKIP_DEPRECATED_LOGS",
        "PEER_METADATA_DISCOVERY",
      ]),
      chance.one(["true", "false", "maybe", ""]),
    ],
    () => ["COMPLIANCE_POLICY", chance.one(["fips-140-2", "pqc", ""])],
    () => ["ISTIO_CPU_LIMIT", String(chance.below(4))],
    () => ["HOST_IP", chance.one(["192.0.2.9", "2001:db8::9", ""])],
    () => [chance.one(["POD_NAME", "POD_NAMESPACE", "SERVICE_ACCOUNT"]), chance.one([word(chance), ""])],
  ])();
}

const METADATA = [
  "CLUSTER_ID",
  "NETWORK",
  "MESH_ID",
  "OWNER",
  "WORKLOAD_NAME",
  "NODE_NAME",
  "REQUESTED_NETWORK_VIEW",
  "IDLE_TIMEOUT",
  "anything",
];
const SWITCHES = [
  "DNS_CAPTURE",
  "DNS_AUTO_ALLOCATE",
  "ENABLE_HBONE",
  "ENABLE_SELF_DISCOVERY",
  "INBOUND_LISTENER_EXACT_BALANCE",
];

function field(chance: Chance): [string, unknown] {
  const port = (): number => 15_200 + chance.below(100);
  const duration = (): string => chance.one(["1s", "45s", "1m30s", "2h", "90s", "0.5h"]);
  const address = (): string =>
    `${chance.one(["collector.example", "10.1.2.3", "[2001:db8::7]", "$(HOST_IP)"])}:${port()}`;
  const tls = (): unknown => ({
    mode: chance.one(["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"]),
    ...{ clientCertificate: "/c", privateKey: "/k" },
    ...Object.fromEntries(chance.some(2, () => [chance.one(["caCertificates", "sni"]), word(chance)])),
    subjectAltNames: chance.some(2, () => word(chance)),
  });
  const service = (): unknown => ({
    address: address().replace("$(HOST_IP)", "10.1.2.4"),
    ...(chance.below(2) > 0 ? { tlsSettings: tls() } : {}),
  });
  const tracer = (): Record<string, unknown> =>
    chance.one([
      { zipkin: { address: address() } },
      { datadog: { address: address() } },
      { lightstep: { address: "ls.example:443", accessToken: word(chance) } },
    ]);
  return chance.one<() => [string, unknown]>([
    () => ["drainDuration", duration()],
    () => ["terminationDrainDuration", duration()],
    () => ["concurrency", chance.below(5)],
    () => ["proxyAdminPort", port()],
    () => ["statusPort", port()],
    () => ["serviceCluster", word(chance)],
    () => ["tracingServiceName", chance.one(["APP_LABEL_AND_NAMESPACE", "CANONICAL_NAME_ONLY", 2])],
    () => ["discoveryAddress", chance.one(["istiod.example:15012", "10.0.0.9:15010", "localhost:15012"])],
    () => [
      "tracing",
      { ...tracer(), sampling: chance.below(100), ...(chance.below(3) > 0 ? {} : { tlsSettings: tls() }) },
    ],
    () => [chance.one(["envoyMetricsService", "envoyAccessLogService"]), service()],
    () => ["statsdUdpAddress", chance.one(["10.1.2.3:8125", "[2001:db8::3]:8125"])],
    () => ["extraStatTags", chance.some(3, () => word(chance))],
    () => [
      "proxyStatsMatcher",
      { inclusionPrefixes: chance.some(2, () => word(chance)), inclusionRegexps: [".*_(a|b)$"] },
    ],
    () => ["proxyMetadata", { [`ISTIO_META_${word(chance)}`]: text(chance), [word(chance)]: text(chance) }],
    () => ["runtimeValues", { [word(chance)]: chance.one(["", "true", "5", text(chance)]) }],
    () => ["statsCompression", chance.below(2) > 0],
    () => ["fileFlushInterval", duration()],
    () => ["fileFlushMinSizeKb", chance.below(200)],
    () => ["holdApplicationUntilProxyStarts", chance.below(2) > 0],
    () => ["gatewayTopology", { numTrustedProxies: chance.below(3) }],
    () => ["meshId", text(chance)],
    () => ["image", { imageType: word(chance) }],
    () => ["proxyHeaders", { server: { value: word(chance) }, requestId: {} }],
    () => [word(chance), json(chance, 2)],
  ])();
}

/** As JSON, or as YAML. */
function document(chance: Chance, tree: Record<string, unknown>): string {
  return chance.below(2) > 0 ? JSON.stringify(tree) : stringify(tree, { version: "1.1" });
}

function json(chance: Chance, depth: number): unknown {
  const leaf = chance.one<unknown>([text(chance), chance.below(1_000), chance.below(1_000) / 8, true, null]);
  if (depth === 0 || chance.below(3) === 0) return leaf;
  if (chance.below(2) > 0) return chance.some(3, () => json(chance, depth - 1));
  return Object.fromEntries(chance.some(3, () => [word(chance), json(chance, depth - 1)]));
}

function list(chance: Chance): string {
  return chance.some(3, () => chance.one([word(chance), "{pod_ip}_x", " spaced "])).join(",");
}

function word(chance: Chance): string {
  return Array.from({ length: 1 + chance.below(8) }, () => chance.one([..."abcdefghijklmnopqrstuvwxyz"])).join("");
}

/** What is odd in some place: YAML's, JSON's, HTML's and Go's special characters, and text of the world. */
function text(chance: Chance): string {
  const pieces = [
    " ",
    "=",
    ":",
    "#",
    "'",
    "<",
    ">",
    "&",
    "/",
    ".",
    ",",
    "-",
    "$(HOST_IP)",
    "ü",
    "日本",
    "🚢",
    "\t",
    "yes",
    "010",
    "null",
  ];
  return Array.from({ length: 1 + chance.below(5) }, () => chance.one([...pieces, word(chance)])).join("");
}

/** As the kubelet writes labels and annotations. */
function lines(entries: readonly (readonly [string, string])[]): string {
  return [...new Map(entries)].map(([key, value]) => `${key}=${quote(value)}`).join("\n");
}

/** Go's strconv.Quote, for what is printable or a tab. */
function quote(value: string): string {
  return `"${value.replaceAll(/["\\]/g, "\\$&").replaceAll("\n", "\\n").replaceAll("\t", "\\t")}"`;
}
