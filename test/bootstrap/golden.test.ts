import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { type BootstrapOptions, renderBootstrap } from "../../src/bootstrap/index.ts";
import { type JsonObject, proxyConfigFromJson } from "../../src/istio/mesh/index.ts";
import { describeNode, type NodeOptions } from "../../src/node/index.ts";
import type { NodeFacts } from "../../src/node/node-types.ts";
import { UNKNOWN_PLATFORM } from "../../src/node/node-types.ts";
import { realEnvoy } from "../support/real-envoy.ts";
import { differencesOf } from "./differences.ts";

// After a change on purpose: npx vitest run test/bootstrap -u, and read the difference.

interface Scenario {
  readonly role?: string;
  readonly proxy?: Readonly<Record<string, unknown>>;
  readonly env?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
  readonly addresses?: readonly string[];
  readonly node?: Partial<NodeOptions>;
  readonly facts?: Partial<NodeFacts>;
  readonly bootstrap?: Partial<BootstrapOptions>;
}

const TLS = { clientCertificate: "/c.pem", privateKey: "/k.pem", caCertificates: "/ca.pem" };
const SCENARIOS: Readonly<Record<string, Scenario>> = {
  sidecar: {},
  router: { role: "router" },
  "waypoint, which always discovers metadata over delta": { role: "waypoint", bootstrap: { isDeltaXds: false } },
  "IPv6 only": { addresses: ["2001:db8::1"] },
  "mixed addresses without dual stack": { addresses: ["10.0.0.1", "2001:db8::1"] },
  "dual stack, IPv4 first": { addresses: ["10.0.0.1", "2001:db8::1"], node: { isDualStack: true } },
  "dual stack, IPv6 first": { addresses: ["2001:db8::1", "10.0.0.1"], node: { isDualStack: true } },
  "state of the world": { bootstrap: { isDeltaXds: false } },
  "JSON logs": { bootstrap: { isLogJson: true } },
  zipkin: { proxy: { tracing: { zipkin: { address: "zipkin:9411" } } } },
  "zipkin at the host's address": {
    proxy: { tracing: { zipkin: { address: "$(HOST_IP):9411" } } },
    bootstrap: { hostIp: "10.1.1.1" },
  },
  "zipkin over TLS": { proxy: { tracing: { zipkin: { address: "z:1" }, tlsSettings: { mode: "SIMPLE", ...TLS } } } },
  "lightstep over mutual TLS": {
    proxy: { tracing: { lightstep: { address: "l:1", accessToken: "t" }, tlsSettings: { mode: "MUTUAL", ...TLS } } },
  },
  datadog: { proxy: { tracing: { datadog: { address: "d:1" } } } },
  statsd: { proxy: { statsdUdpAddress: "10.1.1.1:9125" } },
  "metrics service with mesh identity and keepalive": {
    proxy: {
      envoyMetricsService: {
        address: "m:1",
        tlsSettings: { mode: "ISTIO_MUTUAL", subjectAltNames: ["a", "b"] },
        tcpKeepalive: { probes: 3, time: "10s", interval: "5s" },
      },
    },
  },
  "metrics service by its deprecated address": { proxy: { envoyMetricsServiceAddress: "m:1" } },
  "access log service without a key": {
    proxy: { envoyAccessLogService: { address: "a:1", tlsSettings: { mode: "MUTUAL", caCertificates: "/ca.pem" } } },
  },
  "stats tags from both places": {
    proxy: { extraStatTags: ["dlp_success"] },
    annotations: { "sidecar.istio.io/extraStatTags": "dlp_status,dlp_error" },
  },
  "stats inclusion by annotation, with addresses": {
    addresses: ["10.0.0.1", "10.0.0.2"],
    annotations: {
      "sidecar.istio.io/statsInclusionPrefixes": "prefix1,http.{pod_ip}_",
      "sidecar.istio.io/statsInclusionSuffixes": "suffix1",
      "sidecar.istio.io/statsInclusionRegexps": "http.[0-9]*\\.[0-9]*_8080",
    },
  },
  "stats inclusion by configuration": {
    proxy: { proxyStatsMatcher: { inclusionPrefixes: ["p"], inclusionSuffixes: ["s"], inclusionRegexps: ["r"] } },
  },
  "histogram buckets and intervals": {
    annotations: {
      "sidecar.istio.io/statsHistogramBuckets": '{"istio":[1,5],"envoy":[1]}',
      "sidecar.istio.io/statsFlushInterval": "1m30s",
      "sidecar.istio.io/statsEvictionInterval": "3m",
    },
  },
  "zero connections end the drain": { node: { isExitOnZeroConnections: true } },
  "status port behind a PROXY protocol": { bootstrap: { isStatusPortProxyProtocol: true } },
  "secure metrics": {
    node: { ports: { status: 15021, prometheus: 15090, secureMetrics: 15091, secureMergedMetrics: 15092 } },
  },
  "metrics on loopback, not compressed": {
    proxy: { statsCompression: false, proxyMetadata: { METRICS_LOCALHOST_ACCESS_ONLY: "true" } },
  },
  "external SDS": { facts: { hasExternalSds: true }, node: { workloadSocketFile: "spire.sock" } },
  "HBONE discovers metadata": { env: { ISTIO_META_ENABLE_HBONE: "true" } },
  "self discovery, outlier log and load reports": {
    env: {
      ISTIO_META_ENABLE_SELF_DISCOVERY: "true",
      ISTIO_META_LOAD_STATS_CONFIG_JSON: '{"api_type": "GRPC", "transport_api_version": "V3"}',
    },
    bootstrap: { outlierLogPath: "outlier.log" },
  },
  "runtime values": {
    proxy: { runtimeValues: { a: "x", b: "true", c: "1", "re2.max_program_size.error_level": "" } },
    bootstrap: { compliancePolicy: "fips-140-2", stripFragmentUnsafeIfDisabled: false },
  },
  "heap limit": { bootstrap: { heapLimitBytes: 419_430_400 } },
  "connection limit": { proxy: { connectionSettings: { globalDownstreamConnectionLimit: 25000 } } },
  "labels, locality and workload": {
    labels: { app: "web", "istio-locality": "r.z.s", "pod-template-hash": "x" },
    env: { ISTIO_META_POD_PORTS: '[{"name":"http","containerPort":80,"hostPort":1,"protocol":"TCP"}]' },
  },
};

/** Its file has the whole document; those of the others have what differs from it. */
const BASE = "sidecar";
const base = render(SCENARIOS[BASE] ?? {});

describe.each(Object.entries(SCENARIOS))("%s", (name, scenario) => {
  const document = render(scenario);
  const file = name.replaceAll(/[^a-zA-Z0-9]+/g, "-");

  test("renders as before, byte for byte", async () => {
    expect(JSON.stringify(render(scenario))).toBe(JSON.stringify(document));
    // the base and what differs from it are the whole document: differencesOf makes sure
    await expect(pretty(base)).toMatchFileSnapshot(`golden/${BASE}.json`);
    if (name !== BASE) await expect(pretty(differencesOf(base, document))).toMatchFileSnapshot(`golden/${file}.json`);
  });

  test("Envoy accepts it, apart from what stock Envoy lacks", async () => {
    await expectValid(JSON.stringify(stockPart(document)));
  });
});

test("empty load statistics are none", () => {
  expect(render({ env: { ISTIO_META_LOAD_STATS_CONFIG_JSON: "" } })).not.toHaveProperty("cluster_manager");
});

const FLUSH = "sidecar.istio.io/statsFlushInterval";
const EVICTION = "sidecar.istio.io/statsEvictionInterval";

test.each([
  [{ [FLUSH]: "0s" }, undefined, undefined, FLUSH],
  [{ [FLUSH]: "1ns" }, undefined, undefined, FLUSH],
  [{ [FLUSH]: "0.5ms" }, undefined, undefined, FLUSH],
  [{ [FLUSH]: "-5s" }, undefined, undefined, FLUSH],
  [{ [FLUSH]: "5m" }, undefined, undefined, FLUSH],
  [{ [FLUSH]: "10m", [EVICTION]: "10s" }, undefined, "10s", FLUSH],
  [{ [FLUSH]: "soon" }, undefined, undefined, FLUSH],
  [{ [EVICTION]: "0s" }, undefined, undefined, EVICTION],
  [{ [EVICTION]: "-10s" }, undefined, undefined, EVICTION],
  [{ [EVICTION]: "11s" }, undefined, undefined, EVICTION],
  [{ [FLUSH]: "1ms" }, "0.001s", undefined, undefined],
  [{ [FLUSH]: "4m59.999s" }, "299.999s", undefined, undefined],
  [{ [FLUSH]: "400ms", [EVICTION]: "1.2s" }, "0.400s", "1.200s", undefined],
  [{ [FLUSH]: "10s", [EVICTION]: "20s" }, "10s", "20s", undefined],
])("of the intervals %j Envoy gets %s and %s, and accepts it", async (annotations, flush, eviction, warned) => {
  const { document, warnings } = renderAll({ annotations });
  expect([document.stats_flush_interval, document.stats_eviction_interval]).toEqual([flush, eviction]);
  expect(warnings).toEqual(warned === undefined ? [] : [expect.stringContaining(warned)]);
  await expectValid(JSON.stringify(document));
});

test.each(["0", "-5"])("a connection limit of %s stays as it was written, with a warning", (limit) => {
  const proxyMetadata = { ISTIO_META_GLOBAL_DOWNSTREAM_MAX_CONNECTIONS: limit };
  const { document, warnings } = renderAll({ proxy: { proxyMetadata } });
  expect(JSON.stringify(document)).toContain(`"max_active_downstream_connections":${limit}`);
  expect(warnings).toEqual([expect.stringContaining(`ISTIO_META_GLOBAL_DOWNSTREAM_MAX_CONNECTIONS is ${limit}`)]);
});

/** Without the metadata extension, which only Istio's build has, and the Lightstep tracer, which Envoy has dropped. */
function stockPart(document: JsonObject): JsonObject {
  const extensions = document.bootstrap_extensions as readonly { readonly name: string }[];
  const stock = { ...document, bootstrap_extensions: extensions.filter(({ name }) => name !== "metadata_discovery") };
  const { tracing: _, ...untraced } = stock as JsonObject;
  return JSON.stringify(document.tracing ?? "").includes("envoy.tracers.lightstep") ? untraced : (stock as JsonObject);
}

const pretty = (document: JsonObject): string => `${JSON.stringify(document, null, 2)}\n`;

function render(scenario: Scenario) {
  return renderAll(scenario).document;
}

function renderAll(scenario: Scenario) {
  const proxy = proxyConfigFromJson({
    configPath: "./etc/istio/proxy",
    serviceCluster: "istio-proxy",
    discoveryAddress: "istiod.istio-system.svc:15012",
    proxyAdminPort: 15000,
    statusPort: 15020,
    controlPlaneAuthPolicy: "MUTUAL_TLS",
    ...scenario.proxy,
  });
  const node = describeNode(
    {
      role: scenario.role ?? "sidecar",
      domain: "",
      proxy,
      metadataEnv: Object.entries(scenario.env ?? {}),
      podName: "web-0",
      podNamespace: "shop",
      serviceAccount: "web",
      instanceIp: "",
      isDualStack: false,
      isLoopbackOnly: false,
      dnsProxyAddress: undefined,
      stsPort: 0,
      ports: { status: 15021, prometheus: 15090, secureMetrics: 0, secureMergedMetrics: 0 },
      isExitOnZeroConnections: false,
      peerMetadataDiscovery: undefined,
      skipDeprecatedLogs: true,
      workloadSocketFile: "socket",
      outlierLogPath: "",
      istioVersion: "1.0",
      ...scenario.node,
    },
    {
      interfaceAddresses: (scenario.addresses ?? ["10.0.0.1"]).map((address) => ({ interface: "eth0", address })),
      podLabels: scenario.labels === undefined ? undefined : new Map(Object.entries(scenario.labels)),
      podAnnotations: scenario.annotations === undefined ? undefined : new Map(Object.entries(scenario.annotations)),
      platform: UNKNOWN_PLATFORM,
      hasCredentialSocket: false,
      hasExternalSds: false,
      ...scenario.facts,
    },
  );
  return renderBootstrap(
    {
      proxy,
      isLogJson: false,
      isDeltaXds: true,
      compliancePolicy: "",
      stripFragmentUnsafeIfDisabled: true,
      isStatusPortProxyProtocol: false,
      hostIp: "",
      outlierLogPath: "",
      ...scenario.bootstrap,
    },
    node,
  );
}

async function expectValid(text: string): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "pb-golden-"));
  try {
    const file = join(folder, "bootstrap.json");
    await writeFile(file, text);
    const args = [
      "--mode",
      "validate",
      "-c",
      file,
      "-l",
      "error",
      "--allow-unknown-static-fields",
      "--disable-hot-restart",
    ];
    const outcome = await promisify(execFile)(await realEnvoy(), args, { cwd: folder }).then(
      () => "accepted",
      (error: { readonly stderr: string }) => error.stderr,
    );
    expect(outcome).toBe("accepted");
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
