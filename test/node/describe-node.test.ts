import { describe, expect, test } from "vitest";
import { parseDownwardApi } from "../../src/istio/index.ts";
import { proxyConfigFromJson } from "../../src/istio/mesh/index.ts";
import { describeNode, type NodeDescription, type NodeOptions } from "../../src/node/index.ts";
import { canonicalIp, ipModeOf, isUsableAddress, proxyAddresses } from "../../src/node/ip.ts";
import type { NodeFacts } from "../../src/node/node-types.ts";
import { UNKNOWN_PLATFORM } from "../../src/node/node-types.ts";
import { serviceClusterOf } from "../../src/node/service-cluster.ts";

interface Words {
  readonly env?: Readonly<Record<string, string>>;
  readonly proxy?: Readonly<Record<string, unknown>>;
  readonly labels?: string;
  readonly options?: Partial<NodeOptions>;
  readonly facts?: Partial<NodeFacts>;
}

function describeWith({ env = {}, proxy = {}, labels, options, facts }: Words): NodeDescription {
  const parsed = labels === undefined ? undefined : parseDownwardApi(labels);
  return describeNode(
    {
      role: "sidecar",
      domain: "",
      proxy: proxyConfigFromJson({ serviceCluster: "istio-proxy", discoveryAddress: "istiod:15012", ...proxy }),
      metadataEnv: Object.entries(env),
      podName: undefined,
      podNamespace: "test",
      serviceAccount: undefined,
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
      istioVersion: "build",
      ...options,
    },
    {
      interfaceAddresses: [{ interface: "eth0", address: "10.0.0.1" }],
      podLabels: typeof parsed === "string" ? undefined : parsed,
      podAnnotations: undefined,
      platform: UNKNOWN_PLATFORM,
      hasCredentialSocket: false,
      hasExternalSds: false,
      ...facts,
    },
  );
}

test.each([
  [["1.1.1.1"], "IPv4"],
  [["::1"], "IPv6"],
  [["1.1.1.1", "::1"], "Dual"],
  [[], "IPv4"],
])("addresses %j are %s", (addresses, mode) => {
  expect(ipModeOf(addresses)).toBe(mode);
});

test.each<[string, string[], string[], string[]]>([
  ["10.1.1.5", ["10.1.1.5", "10.2.2.2"], [], ["10.1.1.5", "10.2.2.2"]],
  ["not an IP", ["10.2.2.2"], [], ["10.2.2.2"]],
  ["10.0.0.1%eth0", ["10.2.2.2"], [], ["10.2.2.2"]],
  ["fe80::1%", ["10.2.2.2"], [], ["10.2.2.2"]],
  ["fe80::1%eth0", ["10.2.2.2"], [], ["fe80::1%eth0", "10.2.2.2"]],
  ["", [], [], ["127.0.0.1", "::1"]],
  ["", ["10.2.2.2"], ["eth0"], []],
  ["2001:0db8::0001", ["2001:db8::1"], [], ["2001:db8::1"]],
])("INSTANCE_IP %j with %j, without %j, gives %j", (instanceIp, found, excluded, expected) => {
  const interfaces = found.map((address) => ({ interface: "eth0", address }));
  expect(proxyAddresses(instanceIp, interfaces, excluded)).toEqual(expected);
});

test.each([
  ["127.0.0.2", false],
  ["169.254.1.1", false],
  ["224.0.0.1", false],
  ["fe80::1", false],
  ["ff02::1", false],
  ["::1", false],
  ["8.8.8.8", true],
  ["2001:db8::1", true],
])("the interface address %s counts: %s", (address, isUsable) => {
  expect(isUsableAddress(address)).toBe(isUsable);
});

test("an IPv4-mapped literal stays IPv6", () => {
  expect(canonicalIp("::ffff:10.0.0.1")).toBe("::ffff:10.0.0.1");
});

const CLUSTER = {
  serviceCluster: "istio-proxy",
  tracingServiceName: undefined,
  labels: {},
  workloadName: "",
  namespace: "default",
};
test.each([
  [{ serviceCluster: "my-service" }, "my-service"],
  [{ labels: { app: "legacy-app", "app.kubernetes.io/name": "k8s-app" }, workloadName: "w" }, "legacy-app.default"],
  [{ labels: { "service.istio.io/canonical-name": "canonical-name" } }, "canonical-name.default"],
  [{ workloadName: "my-workload" }, "my-workload.default"],
  [{}, "istio-proxy.default"],
  [{ namespace: "" }, "istio-proxy"],
  [{ serviceCluster: undefined, tracingServiceName: "CANONICAL_NAME_ONLY", labels: { app: "a" } }, "a"],
  [
    { serviceCluster: undefined, tracingServiceName: "CANONICAL_NAME_AND_NAMESPACE", labels: { app: "a" } },
    "a.default",
  ],
  [
    {
      serviceCluster: undefined,
      tracingServiceName: "CANONICAL_NAME_AND_NAMESPACE",
      labels: { app: "a" },
      namespace: "",
    },
    "a",
  ],
  [{ serviceCluster: undefined, tracingServiceName: 77, labels: { app: "a" } }, "a.default"],
])("service cluster of %j is %s", (facts, expected) => {
  expect(serviceClusterOf({ ...CLUSTER, ...facts })).toBe(expected);
});

test("the node id has all its parts, empty ones too", () => {
  expect(describeWith({ options: { podName: "web-0", instanceIp: "10.1.1.5", podNamespace: "shop" } }).id).toBe(
    "sidecar~10.1.1.5~web-0.shop~shop.svc.cluster.local",
  );
  expect(describeWith({ options: { podNamespace: undefined } }).id).toBe("sidecar~10.0.0.1~.~.svc.cluster.local");
  expect(describeWith({ options: { domain: "d" } }).id).toBe("sidecar~10.0.0.1~.test~d");
});

describe("labels and locality", () => {
  test("labels of the variable are both kinds, and their locality gets slashes", () => {
    const labels = '{"version":"v1alpha1","app":"test","istio-locality":"regionA.zoneB.sub_zoneC"}';
    const { cluster, locality, metadata } = describeWith({ env: { ISTIO_METAJSON_LABELS: labels } });
    expect(cluster).toBe("test.test");
    expect(locality).toEqual({ region: "regionA", zone: "zoneB", subZone: "sub_zoneC" });
    const expected = { version: "v1alpha1", app: "test", "istio-locality": "regionA/zoneB/sub_zoneC" };
    expect(metadata).toMatchObject({ LABELS: expected, STATIC_LABELS: expected, app: "test", version: "v1alpha1" });
    expect(metadata["istio-locality"]).toBe("regionA.zoneB.sub_zoneC");
  });

  test.each([
    ['istio-locality="region.zone.subzone"', { region: "region", zone: "zone", subZone: "subzone" }],
    ['istio-locality="region/zone/subzone.2"', { region: "region", zone: "zone", subZone: "subzone.2" }],
    ['topology.istio.io/locality="a.b"', { region: "a", zone: "b", subZone: "" }],
  ])("the label file %s", (labels, expected) => {
    expect(describeWith({ labels }).locality).toEqual(expected);
  });

  test("the template's hash is no label", () => {
    expect(describeWith({ labels: 'app="web"\npod-template-hash="x"\n' }).metadata.LABELS).toEqual({ app: "web" });
  });

  test("without a label the platform's locality counts", () => {
    const platform = {
      ...UNKNOWN_PLATFORM,
      locality: { region: "r", zone: "z", subZone: "" },
      metadata: { aws_region: "r" },
    };
    const node = describeWith({ facts: { platform } });
    expect(node.locality.region).toBe("r");
    expect(node.metadata.PLATFORM_METADATA).toEqual({ aws_region: "r" });
  });
});

test.each([
  ['config="foo: bar\\nother: setting"', "config", "foo: bar\nother: setting"],
  ['foo="a=b"', "foo", "a=b"],
  ['foo="\\x41\\101\\u00e9"', "foo", "AAé"],
  ["foo=`a\\n`", "foo", "a\\n"],
  ["foo='x'", "foo", "x"],
])("the line %s is read", (line, key, value) => {
  const parsed = parseDownwardApi(line);
  expect(typeof parsed === "string" ? parsed : parsed.get(key)).toBe(value);
});

test.each(["foo=bar", 'foo="a" ', "foo='xy'", 'foo="a', 'foo="\\z"'])("the line %j spoils the file", (line) => {
  expect(parseDownwardApi(`ok="x"\n${line}`)).toMatch(/^failed to unquote/);
});

describe("metadata", () => {
  const value = (env: Readonly<Record<string, string>>, key: string) => describeWith({ env }).metadata[key];

  test.each([
    [{ ISTIO_META_ISTIO_VERSION: "release-3.1" }, "ISTIO_VERSION", "release-3.1"],
    [{}, "ISTIO_VERSION", "build"],
    [{ ISTIO_META_foo: "baz" }, "foo", "baz"],
    [{ ISTIO_META_ENABLE_HBONE: "true" }, "ENABLE_HBONE", "true"],
    [{ ISTIO_META_ENABLE_HBONE: "true" }, "METADATA_DISCOVERY", "true"],
    [{}, "METADATA_DISCOVERY", "false"],
    [{ ISTIO_META_DNS_CAPTURE: "1" }, "DNS_CAPTURE", "true"],
    [{ ISTIO_META_DNS_CAPTURE: "false" }, "DNS_CAPTURE", "false"],
    [{ ISTIO_META_DNS_CAPTURE: "0" }, "DNS_CAPTURE", "0"],
    [{ ISTIO_META_NETWORK: "" }, "NETWORK", ""],
    [{ ISTIO_META_POD_PORTS: "[]" }, "POD_PORTS", "[]"],
    [
      { ISTIO_META_POD_PORTS: '[ {"name":"foo","containerPort":9080,"hostPort":1,"protocol":"TCP"} ]' },
      "POD_PORTS",
      '[{"name":"foo","containerPort":9080,"protocol":"TCP"}]',
    ],
    [{ ISTIO_META_REQUESTED_NETWORK_VIEW: "a,b" }, "REQUESTED_NETWORK_VIEW", "a,b"],
    [{ ISTIO_METAJSON_X: '{"a":{"b":[1]}}' }, "a", { b: [1] }],
    [{ ISTIO_METAJSON_ANNOTATIONS: '{"k":"v"}' }, "k", "v"],
    [{ ISTIO_META_name: "lower" }, "NAME", "lower"],
  ])("%j gives %s = %j", (env, key, expected) => {
    expect(value(env, key)).toEqual(expected);
  });

  test.each([
    { ISTIO_META_DNS_CAPTURE: "maybe" },
    { ISTIO_META_DNS_CAPTURE: "" },
    { ISTIO_META_ENVOY_STATUS_PORT: "1" },
    { ISTIO_METAJSON_X: '{"LABELS":["a"]}' },
    { ISTIO_META_POD_PORTS: "{}" },
  ])("%j is refused by the variable's name", (env) => {
    const [name = ""] = Object.keys(env);
    expect(() => describeWith({ env: env as unknown as Record<string, string> })).toThrow(name);
  });

  test("text that is no JSON object is a warning", () => {
    expect(describeWith({ env: { ISTIO_METAJSON_X: "nonsense" } }).warnings[0]).toMatch(
      /^Env variable X \[nonsense\] failed json unmarshal/,
    );
    expect(describeWith({ env: { ISTIO_METAJSON_X: '{"token":"hunter2"' } }).warnings.join()).not.toContain("hunter2");
    expect(describeWith({ env: { ISTIO_METAJSON_X: "null" } }).warnings).toEqual([]);
  });

  test("proxyMetadata is the weakest source", () => {
    const proxy = { proxyMetadata: { ISTIO_META_A: "1", ISTIO_META_B: "1", OTHER: "x" } };
    const { metadata } = describeWith({ proxy, env: { ISTIO_META_B: "2" } });
    expect(metadata).toMatchObject({ A: "1", B: "2" });
    expect(metadata.OTHER).toBeUndefined();
  });

  test("addresses are listed once, in their order", () => {
    const addresses = ["10.3.3.3", "10.4.4.4", "10.5.5.5", "10.6.6.6", "10.4.4.4"];
    const interfaceAddresses = addresses.map((address) => ({ interface: "eth0", address }));
    expect(describeWith({ facts: { interfaceAddresses } }).metadata.INSTANCE_IPS).toBe(
      "10.3.3.3,10.4.4.4,10.5.5.5,10.6.6.6",
    );
  });

  test("PEER_METADATA_DISCOVERY beats HBONE", () => {
    const node = describeWith({ env: { ISTIO_META_ENABLE_HBONE: "true" }, options: { peerMetadataDiscovery: false } });
    expect(node.metadata.METADATA_DISCOVERY).toBe("false");
  });

  test.each([
    ["istiod:15012", "MUTUAL_TLS", ["istiod"]],
    ["localhost:15012", "MUTUAL_TLS", ["istiod.istio-system.svc"]],
    ["istiod:15012", "NONE", undefined],
  ])("PILOT_SAN for %s with %s is %j", (discoveryAddress, controlPlaneAuthPolicy, expected) => {
    expect(describeWith({ proxy: { discoveryAddress, controlPlaneAuthPolicy } }).metadata.PILOT_SAN).toEqual(expected);
  });

  test("every key says where it comes from", () => {
    const node = describeWith({ env: { ISTIO_META_NETWORK: "n" }, options: { podName: "web" } });
    expect(node.origins.get("NETWORK")).toBe("ISTIO_META_NETWORK");
    expect(node.origins.get("NAME")).toBe("POD_NAME");
    for (const key of Object.keys(node.metadata)) expect(node.origins.has(key)).toBe(true);
  });
});

test("random metadata never breaks it with anything but a clear error", () => {
  let seed = 7;
  const random = (): number => {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
    return seed / 2 ** 31;
  };
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const names = [
    "DNS_CAPTURE",
    "POD_PORTS",
    "LABELS",
    "foo",
    "name",
    "INSTANCE_IPS",
    "METADATA_DISCOVERY",
    "__proto__",
  ];
  const values = ["", "true", "[]", "{}", "null", "1e9", '{"a":', '{"LABELS":{"a":1}}', '{"a":"b"}', "\u0000", "é🙂"];
  for (let round = 0; round < Number(process.env.FUZZ_ITERATIONS ?? 2_000); round++) {
    const env = Object.fromEntries(
      Array.from({ length: 4 }, () => [`${pick(["ISTIO_META_", "ISTIO_METAJSON_"])}${pick(names)}`, pick(values)]),
    );
    try {
      expect(JSON.parse(JSON.stringify(describeWith({ env }).metadata))).toBeTypeOf("object");
    } catch (error) {
      expect(error).toMatchObject({ code: "CONFIG_INVALID" });
    }
  }
});
