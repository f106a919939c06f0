import { describe, expect, test } from "vitest";
import { validateProxyConfig } from "../../src/config/validate.ts";
import { validateMeshConfig } from "../../src/config/validate-mesh.ts";
import { DEFAULT_PROXY_CONFIG, proxyConfigFromJson, proxyConfigToJson } from "../../src/istio/mesh/index.ts";

const DEFAULTS = proxyConfigToJson(DEFAULT_PROXY_CONFIG);

const messages = (fields: Record<string, unknown>): string[] =>
  validateProxyConfig(proxyConfigFromJson({ ...DEFAULTS, ...fields })).map(({ message }) => message);

test("the defaults are valid", () => {
  expect(messages({})).toEqual([]);
});

const TLS = "invalid tracing TLS config: ";
const noPort = (address: string) => `unable to split "${address}": address ${address}: missing port in address`;

describe("each mistake has the reference's text", () => {
  test.each<[Record<string, unknown>, string[]]>([
    [{ configPath: "" }, ["config path must be set"]],
    [{ binaryPath: "" }, ["binary path must be set"]],
    [{ serviceCluster: "" }, ["service cluster must be specified"]],
    [{ serviceCluster: undefined }, ["oneof service cluster or tracing service name must be specified"]],
    [{ drainDuration: "0" }, ["invalid drain duration: duration must be greater than 1ms"]],
    [{ drainDuration: "-1s" }, ["invalid drain duration: duration must be greater than 1ms"]],
    [{ drainDuration: "1500us" }, ["invalid drain duration: only durations to ms precision are supported"]],
    [{ drainDuration: "1500ms" }, ["drain time only supports durations to seconds precision"]],
    [{ discoveryAddress: "" }, ["discovery address must be set to the proxy discovery service"]],
    [{ discoveryAddress: "nohost" }, [`invalid discovery address: ${noPort("nohost")}`]],
    [
      { discoveryAddress: "2001:db8::1:80" },
      [
        'invalid discovery address: unable to split "2001:db8::1:80": address 2001:db8::1:80: too many colons in address',
      ],
    ],
    [
      { discoveryAddress: "a:port" },
      ['invalid discovery address: port (port) is not a number: strconv.Atoi: parsing "port": invalid syntax'],
    ],
    [{ discoveryAddress: "a:0" }, ["invalid discovery address: port number 0 must be in the range 1..65535"]],
    [{ discoveryAddress: "a..b:1" }, ['invalid discovery address: "a..b" is not a valid hostname or an IP address']],
    [
      { discoveryAddress: `${"a".repeat(64)}:1` },
      [`invalid discovery address: "${"a".repeat(64)}" is not a valid hostname or an IP address`],
    ],
    [{ discoveryAddress: "1.2.3:1" }, ['invalid discovery address: "1.2.3" is not a valid hostname or an IP address']],
    [
      { tracing: { lightstep: {} } },
      [
        "invalid lightstep config: address is required",
        'invalid lightstep config: invalid lightstep address: unable to split "": missing port in address',
        "invalid lightstep config: access token is required",
      ],
    ],
    [{ tracing: { zipkin: { address: "z" } } }, [`invalid zipkin config: ${noPort("z")}`]],
    [{ tracing: { zipkin: { address: "$(HOST_IP):9411" } } }, []],
    [{ tracing: { datadog: { address: "d" } } }, [`invalid datadog config: ${noPort("d")}`]],
    [{ tracing: { datadog: { address: "$(HOST_IP):8126" } } }, []],
    [
      { tracing: { tlsSettings: { mode: "MUTUAL" } } },
      [`${TLS}client certificate required for mutual tls`, `${TLS}private key required for mutual tls`],
    ],
    [
      { tracing: { tlsSettings: { mode: "SIMPLE", credentialName: "c", caCertificates: "ca" } } },
      [`${TLS}cannot specify client certificates or CA certificate or CA CRL If credentialName is set`],
    ],
    [
      { tracing: { tlsSettings: { mode: "SIMPLE", insecureSkipVerify: true, subjectAltNames: ["a"] } } },
      [`${TLS}cannot specify CaCertificates or CredentialName or SubjectAltNames when InsecureSkipVerify is set true`],
    ],
    [
      {
        tracing: {
          tlsSettings: {
            mode: "MUTUAL",
            clientCertificate: "c",
            privateKey: "k",
            insecureSkipVerify: true,
            caCertificates: "a",
          },
        },
      },
      [`${TLS}cannot specify CaCertificates or SubjectAltNames when InsecureSkipVerify is set true`],
    ],
    [{ statsdUdpAddress: "s" }, [`invalid statsd udp address "s": ${noPort("s")}`]],
    [{ envoyMetricsServiceAddress: "m" }, [`invalid envoy metrics service address "m": ${noPort("m")}`]],
    [{ envoyMetricsService: { address: "m" } }, [`invalid envoy metrics service address "m": ${noPort("m")}`]],
    [{ envoyMetricsService: {} }, []],
    [{ envoyAccessLogService: { address: "l" } }, [`invalid envoy access log service address "l": ${noPort("l")}`]],
    [{ proxyAdminPort: 0 }, ["invalid proxy admin port: port number 0 must be in the range 1..65535"]],
    [
      { controlPlaneAuthPolicy: "INHERIT" },
      ['invalid authentication policy: unrecognized control plane auth policy "INHERIT"'],
    ],
    [{ controlPlaneAuthPolicy: 77 }, ['invalid authentication policy: unrecognized control plane auth policy "77"']],
    [{ statusPort: 65536 }, ["invalid status port: port number 65536 must be in the range 1..65535"]],
    [
      { privateKeyProvider: {} },
      [
        "invalid private key provider configuration: private key provider configuration is required",
        "invalid private key provider configuration: unknown private key provider",
      ],
    ],
    [{ privateKeyProvider: { cryptomb: {} } }, ["invalid private key provider configuration: pollDelay is required"]],
    [
      { privateKeyProvider: { qat: { pollDelay: "0s" } } },
      ["invalid private key provider configuration: pollDelay must be non zero"],
    ],
    [
      { connectionSettings: { http2InitialStreamWindowSize: 65534 } },
      ["invalid connection settings: http2_initial_stream_window_size must be at least 65535"],
    ],
    [
      { connectionSettings: { listenerConnectionLimit: 0 } },
      ["invalid connection settings: listener_connection_limit must be positive"],
    ],
    [
      { connectionSettings: { httpDrainTimeout: "-1s" } },
      ["invalid connection settings: http_drain_timeout must be non-negative"],
    ],
    [{ connectionSettings: { listenerPerConnectionBufferLimitBytes: 0, httpIdleTimeout: "0s" } }, []],
    [{ terminationDrainDuration: "-5s", concurrency: -1, fileFlushInterval: "0s" }, []],
  ])("%j", (fields, expected) => {
    expect(messages(fields)).toEqual(expected);
  });
});

test.each([
  ["configmap://a", 'invalid resource name "configmap://a". Expected namespace and name'],
  ["configmap:///a", 'invalid resource name "configmap:///a". Expected namespace'],
  ["configmap://a/", 'invalid resource name "configmap://a/". Expected name'],
  ["configmap://a/b", 'namespace must match the configuration namespace ""'],
])("a credential from a ConfigMap is refused: %s", (credentialName, trouble) => {
  expect(messages({ tracing: { tlsSettings: { mode: "SIMPLE", credentialName } } })).toEqual([
    `${TLS}invalid configmap:// credentialName: ${trouble}`,
  ]);
});

test("all mistakes are told at once, in the order of the reference", () => {
  expect(messages({ statusPort: 0, configPath: "", discoveryAddress: "" })).toEqual([
    "config path must be set",
    "discovery address must be set to the proxy discovery service",
    "invalid status port: port number 0 must be in the range 1..65535",
  ]);
});

describe("outside defaultConfig a mesh file", () => {
  const SECOND = 1_000_000_000n;
  test.each<[Record<string, unknown>, string]>([
    [{ proxyListenPort: 0 }, "invalid proxy listen port: port number 0 must be in the range 1..65535"],
    [{ connectTimeout: 0n }, "invalid connect timeout: duration must be greater than 1ms"],
    [{ connectTimeout: 7200n * SECOND }, "invalid connect timeout: duration must be at most 1h0m0s"],
    [
      { protocolDetectionTimeout: 1n },
      "invalid protocol detection timeout: only durations to ms precision are supported",
    ],
    [{ trustDomain: "a b" }, 'trustDomain: found "a b", wanted DNS labels with dots between them'],
    [{ trustDomainAliases: ["ok", ""] }, 'trustDomain: found "", wanted DNS labels with dots between them'],
    [
      { serviceSettings: [{ hosts: ["*.a.b", "*", "a*b"] }] },
      'found host "a*b", wanted a domain name, "*" allowed at its beginning',
    ],
    [
      { defaultTrafficPolicy: { connectionPool: { tcp: { maxConnections: -1 } } } },
      "max connections must be non-negative",
    ],
    [
      { defaultTrafficPolicy: { connectionPool: { http: { idleTimeout: 1n } } } },
      "http.idleTimeout: duration must be greater than 1ms",
    ],
    [{ localityLbSetting: { distribute: [{ from: "a", to: { b: 40, c: 50 } }] } }, "total locality weight 90 != 100"],
    [
      { localityLbSetting: { distribute: [{ from: "a", to: { b: 100 } }], failover: [{ from: "a", to: "b" }] } },
      "can not simultaneously specify 'distribute' and 'failover'",
    ],
    [{ meshMTLS: { ecdhCurves: ["P-256"] } }, "mesh TLS does not support ECDH curves configuration"],
  ])("is refused for %o", (mesh, message) => {
    expect(validateMeshConfig(mesh).map((finding) => finding.message)).toEqual([message]);
  });

  test("is accepted as Istio's own defaults have it", () => {
    const mesh = {
      proxyListenPort: 15001,
      connectTimeout: 10n * SECOND,
      protocolDetectionTimeout: 0n,
      trustDomain: "cluster.local",
      serviceSettings: [{ hosts: ["*.kube-system.svc.cluster.local"] }],
    };
    expect(validateMeshConfig(mesh)).toEqual([]);
  });
});
