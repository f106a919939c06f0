import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type AgentConfig, ConfigError, type Problem } from "../../src/config/index.ts";
import { loadConfig } from "../../src/config/load-config.ts";
import { proxyConfigToJson } from "../../src/istio/mesh/index.ts";

let cwd: string;
beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), "pb-config-"));
});
afterEach(() => rm(cwd, { recursive: true, force: true }));

interface Words {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly mesh?: string;
  readonly annotations?: string;
  readonly dns?: readonly string[];
}

async function load({ args = [], env = {}, mesh, annotations, dns }: Words): Promise<AgentConfig> {
  if (mesh !== undefined) await put("etc/istio/config/mesh", mesh);
  if (annotations !== undefined) await put("etc/istio/pod/annotations", annotations);
  const resolve = async (host: string) => {
    if (dns === undefined) throw new Error(`${host}: no such host`);
    return dns;
  };
  return (await loadConfig({ args, env, cwd, cpuCount: 2, resolve })).config;
}

async function put(path: string, text: string): Promise<void> {
  await mkdir(dirname(join(cwd, path)), { recursive: true });
  await writeFile(join(cwd, path), text);
}

async function problemsOf(words: Words): Promise<readonly Problem[]> {
  const error = await load(words).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(ConfigError);
  return (error as ConfigError).problems;
}

const IDENTITY = { POD_NAMESPACE: "a", SERVICE_ACCOUNT: "b" };

const proxyOf = async (text: string) => (await load({ env: { PROXY_CONFIG: text } })).proxy;

test("without any words the configuration is Istio's default", async () => {
  const { role, proxy } = await load({});
  expect(role).toBe("sidecar");
  expect(proxyConfigToJson(proxy)).toEqual({
    binaryPath: "/usr/local/bin/envoy",
    configPath: "./etc/istio/proxy",
    controlPlaneAuthPolicy: "MUTUAL_TLS",
    discoveryAddress: "istiod.istio-system.svc:15012",
    drainDuration: "45s",
    proxyAdminPort: 15000,
    serviceCluster: "istio-proxy",
    statNameLength: 189,
    statusPort: 15020,
    terminationDrainDuration: "5s",
  });
});

test("mesh file, PROXY_CONFIG and annotation lie over each other", async () => {
  const { proxy } = await load({
    mesh: `defaultConfig:
  discoveryAddress: "file:123"
  proxyMetadata: {SOME: setting}
  drainDuration: 1s
  extraStatTags: [a]
  proxyStatsMatcher: {inclusionPrefixes: [a], inclusionSuffixes: [b], inclusionRegexps: [c]}
  controlPlaneAuthPolicy: NONE`,
    env: { PROXY_CONFIG: 'discoveryAddress: "environment:123"\nproxyMetadata:\nOTHER: option' },
    annotations:
      'proxy.istio.io/config="discoveryAddress: annotation:123\\nproxyMetadata: {ANNOTATION: something}\\ndrainDuration: 5s\\nextraStatTags: [b]\\nproxyStatsMatcher: {inclusionPrefixes: [a], inclusionSuffixes: [e], inclusionRegexps: [f]}"',
  });
  expect(proxyConfigToJson(proxy)).toMatchObject({
    discoveryAddress: "annotation:123",
    proxyMetadata: { SOME: "setting", ANNOTATION: "something" },
    drainDuration: "5s",
    extraStatTags: ["b"],
    proxyStatsMatcher: { inclusionPrefixes: ["a"], inclusionSuffixes: ["e"], inclusionRegexps: ["f"] },
  });
  expect(proxy.controlPlaneAuthPolicy).toBe("NONE");
});

describe("values of PROXY_CONFIG", () => {
  test.each<[string, Record<string, unknown>]>([
    ["drainDuration: 1m30s", { drainDuration: "90s" }],
    ["concurrency: '4'", { concurrency: 4 }],
    ["concurrency: 4.0", { concurrency: 4 }],
    ["tracingServiceName: 1", { tracingServiceName: "CANONICAL_NAME_ONLY" }],
    ["{serviceCluster: a, tracingServiceName: CANONICAL_NAME_ONLY}", { tracingServiceName: "CANONICAL_NAME_ONLY" }],
    ["holdApplicationUntilProxyStarts: yes", { holdApplicationUntilProxyStarts: true }],
    ["proxyMetadata: {A: null}", { proxyMetadata: { A: "" } }],
    ["{configPath: a, config_path: b}", { configPath: "a" }],
    ["config_path: b", { configPath: "b" }],
    ["CONFIGPATH: z", { configPath: "./etc/istio/proxy" }],
    ["statNameLength: 010", { statNameLength: 8 }],
    ["statNameLength: 0o10", { statNameLength: 8 }],
    ["statNameLength: 0x1F", { statNameLength: 31 }],
    ["statNameLength: 1_000", { statNameLength: 1000 }],
    ["statNameLength: 1e3", { statNameLength: 1000 }],
    ["proxyMetadata: {T: 12:30:45, D: 2020-01-01}", { proxyMetadata: { T: "12:30:45", D: "2020-01-01" } }],
    ["proxyMetadata: {yes: a}", { proxyMetadata: { true: "a" } }],
    ["meshId: a\nmeshId: b", { meshId: "b" }],
    ["meshId: a\n---\nmeshId: b", { meshId: "a" }],
    ["proxyMetadata: &m {A: x}\nruntimeValues: *m", { runtimeValues: { A: "x" } }],
    ["proxyMetadata: &m {A: x, B: w}\nruntimeValues: {<<: *m, B: z}", { runtimeValues: { A: "x", B: "z" } }],
    ["", { meshId: undefined }],
    ["null", { meshId: undefined }],
    ["tracing: {zipkin: {address: $(HOST_IP):9411}}", { tracing: { zipkin: { address: "$(HOST_IP):9411" } } }],
  ])("%s", async (text, expected) => {
    const json = proxyConfigToJson(await proxyOf(text));
    for (const [name, value] of Object.entries(expected)) expect(json[name]).toEqual(value);
  });

  test.each([
    ["drainDuration: 90", "wanted a duration"],
    ["drainDuration: '90'", "wanted a duration"],
    ["drainDuration: 1d", "wanted a duration"],
    ["drainDuration: 1500ms", "drain time only supports durations to seconds precision"],
    ["concurrency: 4.5", "wanted a whole number"],
    ["controlPlaneAuthPolicy: none", "wanted one of NONE, MUTUAL_TLS, INHERIT"],
    ["controlPlaneAuthPolicy: 77", 'unrecognized control plane auth policy "77"'],
    ["holdApplicationUntilProxyStarts: 'true'", "wanted true or false"],
    ["proxyMetadata: {A: 1}", "wanted a string"],
    ["- a", "wanted a mapping"],
    ["text", "wanted a mapping"],
    ["statNameLength: .inf", "not a number that JSON knows"],
    ["\tmeshId: a", "TAB"],
    ["privateKeyProvider: {}", "unknown private key provider"],
    ["proxyAdminPort: 70000", "port number 70000 must be in the range 1..65535"],
    ["connectionSettings: {httpIdleTimeout: -1s}", "http_idle_timeout must be non-negative"],
  ])("%j is refused", async (text, expected) => {
    const problems = await problemsOf({ env: { PROXY_CONFIG: text } });
    expect(problems.map(({ message }) => message).join("\n")).toContain(expected);
  });

  test.each(["istio-pilot:80", "10.0.0.100:9090", "[2001:db8::100]:80", "istiod.istio-system.svc.:1"])(
    "discoveryAddress %s is accepted",
    async (address) => {
      expect((await proxyOf(`discoveryAddress: "${address}"`)).discoveryAddress).toBe(address);
    },
  );

  test.each([
    "istio-pilot",
    "isti..:80",
    "10.0.0.100",
    "istio-pilot:port",
    "istio-pilot:100000",
    "[2001:db8::10::20]:80",
    "[2001:db8::100]",
    "2001:db8::100:80",
  ])("discoveryAddress %s is refused", async (address) => {
    const problems = await problemsOf({ env: { PROXY_CONFIG: `discoveryAddress: "${address}"` } });
    expect(problems[0]?.message).toMatch(/^invalid discovery address: /);
  });
});

test("overlays replace whole messages, lists and maps", async () => {
  const { proxy } = await load({
    mesh: 'defaultConfig: {tracing: {zipkin: {address: "z:1"}, sampling: 5}, extraStatTags: [a], concurrency: 2}',
    env: { PROXY_CONFIG: "tracing: {sampling: 1}\nextraStatTags: []\nconcurrency: null" },
  });
  expect(proxyConfigToJson(proxy)).toMatchObject({ tracing: { sampling: 1 }, concurrency: 2 });
  expect(proxy.tracing?.zipkin).toBeUndefined();
  expect(proxy.extraStatTags).toEqual([]);
});

test("proxyHeaders inherits five members that the overlay leaves out", async () => {
  const { proxy } = await load({
    mesh: "defaultConfig: {proxyHeaders: {forwardedClientCert: APPEND_FORWARD, server: {value: server}, requestId: {disabled: true}, attemptCount: {}}}",
    env: { PROXY_CONFIG: "proxyHeaders: {server: {disabled: true}, requestId: {}}" },
  });
  expect(proxyConfigToJson(proxy).proxyHeaders).toEqual({
    forwardedClientCert: "APPEND_FORWARD",
    server: { disabled: true },
    requestId: {},
    attemptCount: {},
  });
});

test("default_config in a mesh file is not read", async () => {
  expect((await load({ mesh: "default_config: {proxyAdminPort: 1234}" })).proxy.proxyAdminPort).toBe(15000);
});

test.each<[string, Words, number | undefined]>([
  ["an explicit 0 beats the CPU limit", { env: { PROXY_CONFIG: "concurrency: 0", ISTIO_CPU_LIMIT: "2" } }, 0],
  ["the CPU limit counts when nothing is said", { env: { ISTIO_CPU_LIMIT: "2" } }, 2],
  ["the flag beats both", { env: { ISTIO_CPU_LIMIT: "2" }, args: ["--concurrency", "3"] }, 3],
])("concurrency: %s", async (_name, words, expected) => {
  expect((await load(words)).proxy.concurrency).toBe(expected);
});

test.each<[string, readonly string[] | undefined, string]>([
  ["www.foo.com:9080", ["2001:db8::68", "1.2.3.4", "1.2.3.5"], "1.2.3.4:9080"],
  ["www.foo.com:9080", ["2001:db8::68"], "[2001:db8::68]:9080"],
  ["www.foo.com:9080", ["2001:db8::68", "2001:db8::69"], "[2001:db8::69]:9080"],
  ["www.foo.com:9080", ["2001:db8::68", "::ffff:1.2.3.4"], "1.2.3.4:9080"],
  ["[www.foo.com]:9080", ["1.2.3.4"], "1.2.3.4:9080"],
  ["www.foo.com:99999", ["1.2.3.4"], ""],
  ["nowhere:9080", undefined, ""],
  ["localhost", ["127.0.0.1"], ""],
  [":9080", ["127.0.0.1"], ""],
  ["localhost:", ["127.0.0.1"], ""],
])("statsdUdpAddress %s with answers %j becomes %j", async (address, dns, expected) => {
  const config = await load({
    env: { PROXY_CONFIG: `statsdUdpAddress: "${address}"` },
    ...(dns === undefined ? {} : { dns }),
  });
  expect(config.proxy.statsdUdpAddress).toBe(expected);
});

test("annotations replace discovery address and status port; a port that is no number is not taken", async () => {
  const annotations = 'sidecar.istio.io/discoveryAddress="host.:1"\nstatus.sidecar.istio.io/port="abc"\n';
  const { proxy } = await load({ annotations });
  expect(proxy).toMatchObject({ discoveryAddress: "host.:1", statusPort: 15020 });
  const numeric = await load({ annotations: 'status.sidecar.istio.io/port="1234"' });
  expect(numeric.proxy.statusPort).toBe(1234);
});

test.each<[string, string, RegExp]>([
  ["sidecar.istio.io/discoveryAddress", "", /^discovery address must be set to the proxy discovery service$/],
  ["sidecar.istio.io/discoveryAddress", " ", /^invalid discovery address: /],
  ["sidecar.istio.io/discoveryAddress", "nohost", /^invalid discovery address: unable to split "nohost"/],
  ["sidecar.istio.io/discoveryAddress", ":15012", /^invalid discovery address: "" is not a valid hostname/],
  ["sidecar.istio.io/discoveryAddress", "istiod:", /^invalid discovery address: port \(\) is not a number/],
  ["status.sidecar.istio.io/port", "-1", /^port number -1 must be in the range/],
  ["status.sidecar.istio.io/port", "70000", /^port number 70000 must be in the range/],
])("reality 10: the annotation %s=%j is refused at the start, by its name", async (name, value, message) => {
  const problems = await problemsOf({ env: IDENTITY, annotations: `${name}=${JSON.stringify(value)}\n` });
  expect(problems.map(({ origin }) => origin.source)).toEqual([`annotation ${name}`]);
  expect(problems[0]?.message).toMatch(message);
});

test.each<[string, Words]>([
  ["an annotation with a ProxyConfig", { annotations: 'proxy.istio.io/config=""\n' }],
  ["PROXY_CONFIG", { env: { PROXY_CONFIG: "" } }],
  ["a mesh file", { mesh: "" }],
  ["--meshConfig", { args: ["--meshConfig="] }],
  [
    "--domain, --serviceCluster, --templateFile, --outlierLogPath",
    {
      args: ["--domain=", "--serviceCluster=", "--templateFile=", "--outlierLogPath="],
    },
  ],
  ["--run-folder, --proxy-config, --envoy", { args: ["--run-folder=", "--proxy-config", "", "--envoy="] }],
])("reality 10: %s that is there and empty says nothing", async (_name, words) => {
  const { proxy } = await load(words);
  expect(proxyConfigToJson(proxy)).toEqual(proxyConfigToJson((await load({})).proxy));
});

test.each([
  ["configPath", "config path must be set"],
  ["binaryPath", "binary path must be set"],
  ["discoveryAddress", "discovery address must be set to the proxy discovery service"],
])("reality 10: an empty %s of ProxyConfig is refused", async (name, message) => {
  const problems = await problemsOf({ env: { PROXY_CONFIG: `${name}: ""` } });
  expect(problems.map((problem) => [problem.name, problem.message])).toEqual([[name, message]]);
});

/** Token, root, PROXY_CONFIG, namespace and labels: how people start an agent outside a pod. */
const RECIPE = {
  PROXY_CONFIG: "discoveryAddress: istiod.istio-system.svc:15012",
  ISTIO_META_NAMESPACE: "shop",
  ISTIO_METAJSON_LABELS: '{"app":"web"}',
};

test.each<[string, Readonly<Record<string, string>>, readonly string[]]>([
  ["the common recipe", RECIPE, []],
  ["a namespace from proxyMetadata", { PROXY_CONFIG: "proxyMetadata: {ISTIO_META_NAMESPACE: shop}" }, []],
  ["a namespace from JSON metadata", { ISTIO_METAJSON_X: '{"NAMESPACE":"shop"}' }, []],
  ["a namespace as the first part of the domain", {}, ["--domain", "shop.svc.cluster.local"]],
  ["POD_NAMESPACE without SERVICE_ACCOUNT", { POD_NAMESPACE: "shop" }, []],
])("reality 36: %s is no warning", async (_name, env, args) => {
  expect((await loadConfig({ args, env, cwd })).warnings).toEqual([]);
});

test.each<[string, Readonly<Record<string, string>>, readonly string[]]>([
  ["nothing", {}, []],
  ["an empty POD_NAMESPACE, which beats the metadata", { ...RECIPE, POD_NAMESPACE: "" }, []],
  ["a domain without a namespace", {}, ["--domain", "local"]],
])("reality 36: without a namespace istiod leaves out what is meant for one: %s", async (_name, env, args) => {
  const { warnings } = await loadConfig({ args, env, cwd });
  expect(warnings.map(({ name }) => name)).toEqual(["POD_NAMESPACE"]);
  expect(warnings[0]?.message).toMatch(/^no namespace is set: istiod will leave out every policy/);
});

const injectorWarnings = async (proxyConfig: unknown, env: Readonly<Record<string, string>> = {}) => {
  const words = { ...IDENTITY, PROXY_CONFIG: JSON.stringify(proxyConfig), ...env };
  const { warnings } = await loadConfig({ args: [], env: words, cwd });
  return warnings.map(({ name, message }) => `${name}: ${message}`);
};

test("reality 19: what only an injector makes a variable of is told once, with all names", async () => {
  const proxyMetadata = { OUTPUT_CERTS: "/certs", SECRET_TTL: "1h", XDS_HEADER_a: "b", MINE: "x", ISTIO_META_A: "b" };
  expect(await injectorWarnings({ proxyMetadata })).toEqual([
    "proxyMetadata: without effect here: OUTPUT_CERTS, SECRET_TTL, XDS_HEADER_a, MINE",
  ]);
  await put("etc/istio/config/mesh", "defaultConfig:\n  proxyMetadata:\n    OUTPUT_CERTS: /certs\n");
  const { warnings } = await loadConfig({ args: [], env: IDENTITY, cwd });
  expect(warnings).toMatchObject([
    {
      origin: { source: "./etc/istio/config/mesh" },
      message: "without effect here: OUTPUT_CERTS",
      hint: "Set it as a variable of the agent: only an injector makes variables of proxyMetadata",
    },
  ]);
});

test("reality 19: metadata that would be the agent's, too, is told", async () => {
  const proxyMetadata = {
    ISTIO_META_CLUSTER_ID: "c2",
    ISTIO_META_NETWORK: "n",
    ISTIO_META_ENABLE_SELF_DISCOVERY: "true",
  };
  expect(await injectorWarnings({ proxyMetadata })).toEqual([
    "proxyMetadata: told to the control plane, without effect on the agent: ISTIO_META_CLUSTER_ID",
  ]);
});

test("reality 19: where an injector was, nothing is told", async () => {
  const proxyConfig = {
    proxyMetadata: { OUTPUT_CERTS: "/certs", ISTIO_META_CLUSTER_ID: "c2" },
    holdApplicationUntilProxyStarts: true,
    image: { imageType: "distroless" },
  };
  const env = { OUTPUT_CERTS: "/certs", ISTIO_META_CLUSTER_ID: "c2", KUBERNETES_SERVICE_HOST: "10.0.0.1" };
  expect(await injectorWarnings(proxyConfig, env)).toEqual([]);
  expect(await injectorWarnings({ holdApplicationUntilProxyStarts: false, image: {} })).toEqual([]);
});

test("reality 19: outside of a pod also fields that are for the injector are told", async () => {
  const proxyConfig = { holdApplicationUntilProxyStarts: true, image: { imageType: "distroless" } };
  expect(await injectorWarnings(proxyConfig)).toEqual([
    "holdApplicationUntilProxyStarts: without effect here: only an injector acts on it",
    "image: without effect here: only an injector acts on it",
  ]);
});

test("fields that istiod reads only as metadata are told, with the variable, unless it is set", async () => {
  const proxyConfig = { interceptionMode: "NONE", meshId: "m" };
  expect(await injectorWarnings(proxyConfig)).toEqual([
    "interceptionMode: without effect here: only an injector acts on it",
    "meshId: without effect here: only an injector acts on it",
  ]);
  const told = { ISTIO_META_INTERCEPTION_MODE: "NONE" };
  expect(await injectorWarnings(proxyConfig, told)).toHaveLength(1);
  expect(await injectorWarnings({ ...proxyConfig, proxyMetadata: { ...told, ISTIO_META_MESH_ID: "m" } })).toEqual([]);
});

test("reality 19: a template of the user may read any name, and is no excuse for a variable of the agent", async () => {
  const proxyMetadata = { OUTPUT_CERTS: "/certs", MINE: "x" };
  expect(await injectorWarnings({ proxyMetadata }, { ISTIO_BOOTSTRAP: "own.json" })).toEqual([
    "proxyMetadata: without effect here: OUTPUT_CERTS",
  ]);
});

test("five mistakes are five problems, each with its line and column", async () => {
  const problems = await problemsOf({
    env: {
      PROXY_CONFIG: [
        "drainDuration: 90",
        "proxyAdminPort: 99999",
        "proxyMetadata:",
        "  A: 1",
        "concurrency: many",
        "discoveryAddress: nohost",
      ].join("\n"),
    },
  });
  expect(problems.map(({ name, origin }) => [name, origin.line, origin.column])).toEqual([
    ["drainDuration", 1, 16],
    ["proxyAdminPort", 2, 17],
    ["proxyMetadata.A", 4, 6],
    ["concurrency", 5, 14],
    ["discoveryAddress", 6, 19],
  ]);
});

test("problems in JSON have positions too", async () => {
  const problems = await problemsOf({ env: { PROXY_CONFIG: '{\n  "statusPort": "x"\n}' } });
  expect(problems[0]?.origin).toEqual({ source: "PROXY_CONFIG", line: 2, column: 17 });
});

test("an unknown field is a warning that names the nearest known one", async () => {
  const { warnings } = await loadConfig({ args: [], env: { PROXY_CONFIG: "discoveryAdress: a:1" }, cwd });
  expect(warnings[0]).toMatchObject({ name: "discoveryAdress", hint: 'Did you mean "discoveryAddress"?' });
});

test("a variable that cannot be parsed is a warning and its default is used", async () => {
  const { config, warnings } = await loadConfig({ args: [], env: { SECRET_TTL: "1d", PKCS8_KEY: "" }, cwd });
  expect(config.settings.secretTtlMs).toBe(86_400_000);
  expect(warnings.map(({ message }) => message)).toContain(
    "Invalid environment variable value `1d`, expecting a duration, defaulting to 24h0m0s",
  );
  expect(warnings.map(({ name }) => name)).toEqual(["SECRET_TTL", "PKCS8_KEY", "POD_NAMESPACE"]);
});

test.each([
  [{ ECC_SIGNATURE_ALGORITHM: "ED25519" }, "ECC_SIGNATURE_ALGORITHM"],
  [{ WORKLOAD_RSA_KEY_SIZE: "1024" }, "WORKLOAD_RSA_KEY_SIZE"],
  [{ PROV_CERT: "/certs", FILE_MOUNTED_CERTS: "true" }, "PROV_CERT"],
  [{ PROV_CERT: "/certs", CA_PROVIDER: "GkeWorkloadCertificate" }, "PROV_CERT"],
  [{ CREDENTIAL_FETCHER_TYPE: "Magic" }, "CREDENTIAL_FETCHER_TYPE"],
  [{ WORKLOAD_IDENTITY_SOCKET_FILE: "a/b" }, "WORKLOAD_IDENTITY_SOCKET_FILE"],
])("impossible settings %j are refused by name", async (env, name) => {
  expect((await problemsOf({ env })).map((problem) => problem.name)).toEqual([name]);
});

test.each<[string, string, string | undefined, RegExp]>([
  ["COMPLIANCE_POLICY", "weird", undefined, /^"weird" is unknown and restricts nothing, wanted one of fips-140-2, /],
  ["COMPLIANCE_POLICY", "fips-140", 'Did you mean "fips-140-2"?', /unknown and restricts nothing/],
  ["JWT_POLICY", "first-party-jwt", undefined, /^first-party-jwt is deprecated and means third-party-jwt$/],
  ["JWT_POLICY", "none", undefined, /^Using existing certs, .*"none" has no effect/],
])("%s=%s does not do what its author expects, and a warning says so", async (name, value, hint, message) => {
  const { warnings } = await loadConfig({ args: [], env: { ...IDENTITY, [name]: value }, cwd });
  expect(warnings).toMatchObject([{ name, origin: { source: name }, message: expect.stringMatching(message) }]);
  expect(warnings[0]?.hint).toBe(hint);
});

test.each([
  ["COMPLIANCE_POLICY", ["", "fips-140-2", "fips-140-3", "pqc"]],
  ["JWT_POLICY", ["third-party-jwt"]],
])("the known words of %s are no warning", async (name, values) => {
  for (const value of values) {
    expect((await loadConfig({ args: [], env: { ...IDENTITY, [name]: value }, cwd })).warnings).toEqual([]);
  }
});

test.each<[Readonly<Record<string, string>>, string | undefined, string | undefined, readonly string[]]>([
  [{}, undefined, undefined, []],
  [{ HTTPS_PROXY: "", https_proxy: "" }, undefined, undefined, []],
  [{ HTTPS_PROXY: "http://p:3128", https_proxy: "http://q:1" }, "p:3128", undefined, []],
  [{ https_proxy: "p:3128", no_proxy: "a, b,," }, "p:3128", undefined, ["a", " b"]],
  [{ HTTPS_PROXY: "http://me:p%40w@p", NO_PROXY: "*", no_proxy: "x" }, "p:443", "me:p@w", ["*"]],
  [{ HTTPS_PROXY: "https://p:3128" }, "p:3128", undefined, []],
  [{ HTTPS_PROXY: "HTTPS://me@p:3128/path?x" }, "p:3128", "me:", []],
  [{ HTTPS_PROXY: "socks5://10.0.0.1:1080" }, "10.0.0.1:1080", undefined, []],
  [{ HTTPS_PROXY: "http://p:80" }, "p:80", undefined, []],
  [{ HTTPS_PROXY: "https://[2001:db8::1]" }, "[2001:db8::1]:443", undefined, []],
  [{ HTTPS_PROXY: "a:b@c@p:1" }, "p:1", "a:b@c", []],
  [{ HTTP_PROXY: "http://p:1" }, undefined, undefined, []],
])("reality 8: the proxy of %j is %s", async (env, address, credentials, except) => {
  const { egressProxy } = await load({ env: { ...IDENTITY, ...env } });
  expect(egressProxy?.address).toBe(address);
  expect(egressProxy?.credentials?.revealText()).toBe(credentials);
  expect(egressProxy?.except ?? []).toEqual(except);
});

test.each(["://p", "http://", "http://a b", "p:x", "p:99999", "https://%zz@p:1"])(
  "a proxy that cannot be used, %s, is a warning with the name",
  async (HTTPS_PROXY) => {
    const { config, warnings } = await loadConfig({ args: [], env: { ...IDENTITY, HTTPS_PROXY }, cwd });
    expect(config.egressProxy).toBeUndefined();
    expect(warnings).toMatchObject([{ name: "HTTPS_PROXY", wanted: "http://host:port" }]);
  },
);

test("an RSA size does not matter when keys are elliptic", async () => {
  const env = { WORKLOAD_RSA_KEY_SIZE: "1024", ECC_SIGNATURE_ALGORITHM: "ECDSA" };
  expect((await load({ env })).settings.rsaKeySize).toBe(1024);
});

test("flags, role, key settings and documents tell their problems together", async () => {
  const problems = await problemsOf({
    args: ["routr", "--concurrency", "x", "--log_output_level=loud", "--restart", "sometimes"],
    env: { PROXY_CONFIG: "statusPort: x", WORKLOAD_RSA_KEY_SIZE: "1" },
    mesh: "defaultConfig: {proxyAdminPort: 0}\nproxyListenPort: no",
    annotations: 'proxy.istio.io/config="drainDuration: 1"',
  });
  expect(problems.map(({ name }) => name)).toEqual([
    "--concurrency",
    "proxy type",
    "--restart",
    "--log_output_level",
    "WORKLOAD_RSA_KEY_SIZE",
    "proxyAdminPort",
    "proxyListenPort",
    "statusPort",
    "drainDuration",
  ]);
  expect(problems[1]?.hint).toBe('Did you mean "router"?');
});

test.each<[string, Readonly<Record<string, string>>, readonly string[], number, string]>([
  ["the default", {}, [], 0, "default"],
  ["the variable", { PILOTBOAT_STOP_DEADLINE: "4s" }, [], 4_000, "PILOTBOAT_STOP_DEADLINE"],
  [
    "the flag over the variable",
    { PILOTBOAT_STOP_DEADLINE: "4s" },
    ["--stop-deadline", "500ms"],
    500,
    "--stop-deadline",
  ],
])("a value that a flag and a variable name: %s", async (_name, env, args, expected, source) => {
  const { settings, origins } = await load({ env, args });
  expect(settings.stopDeadlineMs).toBe(expected);
  expect(origins.get("PILOTBOAT_STOP_DEADLINE")?.source ?? "default").toBe(source);
});

test("proxyMetadata merges key by key, the overlay wins", async () => {
  const { proxy } = await load({
    mesh: "defaultConfig: {proxyMetadata: {merged: original, default: foo}}",
    env: { PROXY_CONFIG: "proxyMetadata: {merged: override, override: bar}" },
  });
  expect(proxy.proxyMetadata).toEqual({ merged: "override", default: "foo", override: "bar" });
});

test("choosing one member of the cluster-name oneof clears the other", async () => {
  const mesh = "defaultConfig: {tracingServiceName: CANONICAL_NAME_ONLY}";
  const { proxy } = await load({ mesh, env: { PROXY_CONFIG: "serviceCluster: a" } });
  expect([proxy.serviceCluster, proxy.tracingServiceName]).toEqual(["a", undefined]);
});

test("an empty service cluster takes the flag's", async () => {
  const words = { env: { PROXY_CONFIG: "serviceCluster: ''" }, args: ["--serviceCluster", "mine"] };
  expect((await load(words)).proxy.serviceCluster).toBe("mine");
});

test("--templateFile gives the template unless there is a whole configuration", async () => {
  const args = ["--templateFile", "t.json"];
  expect((await load({ args })).proxy.proxyBootstrapTemplatePath).toBe("t.json");
  const env = { PROXY_CONFIG: "customConfigFile: c.json" };
  expect((await load({ args, env })).proxy.proxyBootstrapTemplatePath).toBe("");
});

test("every layer of a field is kept, with its place", async () => {
  const { layers, origins } = await load({
    mesh: "defaultConfig:\n  concurrency: 1\n",
    env: { PROXY_CONFIG: "meshId: m\nconcurrency: 2" },
    args: ["--concurrency", "3"],
  });
  expect(layers.filter(({ field }) => field === "concurrency")).toEqual([
    { field: "concurrency", origin: { source: "./etc/istio/config/mesh", line: 2, column: 16 }, value: 1 },
    { field: "concurrency", origin: { source: "PROXY_CONFIG", line: 2, column: 14 }, value: 2 },
    { field: "concurrency", origin: { source: "--concurrency" }, value: 3 },
  ]);
  expect(origins.get("concurrency")).toEqual({ source: "--concurrency" });
});

test("a mesh file with the snake_case key is told that it is ignored", async () => {
  await put("etc/istio/config/mesh", "default_config: {proxyAdminPort: 1234}\nenableTracin: true\nfromTheFuture: 1");
  const { warnings } = await loadConfig({ args: [], env: IDENTITY, cwd });
  expect(warnings.map(({ name, origin }) => [name, origin.line])).toEqual([
    ["default_config", 1],
    ["enableTracin", 2],
  ]);
});

test("a mistake in default_config is a mistake all the same", async () => {
  expect((await problemsOf({ mesh: "default_config: {proxyAdminPort: x}" }))[0]?.name).toBe(
    "default_config.proxyAdminPort",
  );
});

test("an unreadable mesh file is a problem, an empty one is none", async () => {
  await mkdir(join(cwd, "etc/istio/config/mesh"), { recursive: true });
  expect((await problemsOf({}))[0]?.message).toContain('cannot read "./etc/istio/config/mesh"');
  await rm(join(cwd, "etc"), { recursive: true });
  expect((await load({ mesh: "" })).proxy.statusPort).toBe(15020);
});

test("annotations that cannot be read are a warning", async () => {
  await put("etc/istio/pod/annotations", "a=b");
  const { warnings, config } = await loadConfig({ args: [], env: {}, cwd });
  expect(warnings[0]).toMatchObject({ name: "pod annotations", message: "failed to unquote b: invalid syntax" });
  expect(config.podAnnotations.size).toBe(0);
});

test("what is passed on by prefix keeps its order and its case", async () => {
  const env = {
    ISTIO_META_B: "2",
    XDS_HEADER_Foo: "a=b",
    ISTIO_METAJSON_A: "{}",
    CA_HEADER_BAZ: "=baz",
    NOT_ISTIO_META_X: "",
  };
  const { metadataEnv, xdsHeaders, caHeaders } = await load({ env });
  expect(metadataEnv).toEqual([
    ["ISTIO_META_B", "2"],
    ["ISTIO_METAJSON_A", "{}"],
  ]);
  expect([xdsHeaders, caHeaders]).toEqual([[["Foo", "a=b"]], [["BAZ", "=baz"]]]);
});

test.each([["proxyMetadata: {MY_TOKEN: 12345}"], ["tracing: {lightstep: {accessToken: 12345}}"]])(
  "a problem does not show the secret in %j",
  async (text) => {
    const [problem] = await problemsOf({ env: { PROXY_CONFIG: text } });
    expect(JSON.stringify(problem)).not.toContain("12345");
    expect(problem?.found).toBe("[hidden]");
  },
);

test("a whole number beyond a double is not rounded", async () => {
  const env = { PROXY_CONFIG: '{"tracing":{"stackdriver":{"maxNumberOfAttributes":9223372036854775807}}}' };
  expect((await load({ env })).proxy.tracing?.stackdriver?.maxNumberOfAttributes).toBe(9223372036854775807n);
});

test("a large document that is no ProxyConfig is told about quickly, and in part", async () => {
  const lines = Array.from({ length: 20_000 }, (_, at) => `field${at}: ${at}`);
  const words = { args: [], env: { ...IDENTITY, PROXY_CONFIG: lines.join("\n") }, cwd };
  expect((await loadConfig(words)).warnings).toHaveLength(100);
  const tags = Array.from({ length: 20_000 }, () => "1").join(",");
  expect(await problemsOf({ env: { PROXY_CONFIG: `{"extraStatTags":[${tags}]}` } })).toHaveLength(100);
});

test("what the mesh file makes of the defaults is checked by itself, and a mistake is told once", async () => {
  const late = await problemsOf({
    mesh: "defaultConfig: {drainDuration: 1500ms}",
    env: { PROXY_CONFIG: "drainDuration: 5s" },
  });
  expect(late.map(({ origin, message }) => [origin.source, message])).toEqual([
    ["./etc/istio/config/mesh", "drain time only supports durations to seconds precision"],
  ]);
  expect(await problemsOf({ mesh: "defaultConfig: {proxyAdminPort: 0}" })).toHaveLength(1);
});

test.each([
  ["localityLbSetting: 5", "localityLbSetting"],
  ["localityLbSetting: {enabled: 'yes'}", "localityLbSetting.enabled"],
  ["extensionProviders: 3", "extensionProviders"],
  ["tcpKeepalive: {time: 5}", "tcpKeepalive.time"],
  [
    "defaultTrafficPolicy: {connectionPool: {tcp: {maxConnections: x}}}",
    "defaultTrafficPolicy.connectionPool.tcp.maxConnections",
  ],
  ["defaultTrafficPolicy: {connectionPool: {tcp: {maxConnections: -1}}}", "defaultTrafficPolicy.connectionPool"],
])("the mesh file %s is refused", async (mesh, name) => {
  expect((await problemsOf({ mesh })).map((problem) => problem.name)).toEqual([name]);
});

test.each([
  ["tracing: {zipkin: {address: 5}}", "tracing.zipkin.address"],
  ["tracing: {lightstep: {address: 'l:1', accessToken: 77777}}", "tracing.lightstep.accessToken"],
])("of %s one problem is told: what could not be read is not missing as well", async (text, name) => {
  expect((await problemsOf({ env: { PROXY_CONFIG: text } })).map((problem) => problem.name)).toEqual([name]);
  expect((await problemsOf({ mesh: `defaultConfig: {${text}}` })).map((problem) => problem.name)).toEqual([
    `defaultConfig.${name}`,
  ]);
});

test("what metadata, sockets, keys and ports can be refused for is told with everything else", async () => {
  const env = {
    PROXY_CONFIG: JSON.stringify({ statusPort: "x", proxyMetadata: { ISTIO_META_ENABLE_HBONE: "maybe" } }),
    ISTIO_META_DNS_CAPTURE: "maybe",
    ISTIO_METAJSON_X: '{"LABELS":["a"]}',
    WORKLOAD_IDENTITY_SOCKET_FILE: "",
    WORKLOAD_RSA_KEY_SIZE: "100000",
    ENVOY_STATUS_PORT: "-4",
    ENVOY_SECURE_METRICS_PORT: "70000",
  };
  const problems = await problemsOf({ env });
  expect(problems.map(({ name, message }) => [name, message])).toEqual([
    ["WORKLOAD_RSA_KEY_SIZE", "100000 is more than the 16384 bits that TLS libraries take"],
    ["WORKLOAD_IDENTITY_SOCKET_FILE", '"" must be a filename, not a path'],
    ["ENVOY_STATUS_PORT", "port number -4 must be in the range 0..65535"],
    ["ENVOY_SECURE_METRICS_PORT", "port number 70000 must be in the range 0..65535"],
    ["statusPort", 'found "x", wanted a whole number'],
    ["ISTIO_META_DNS_CAPTURE", 'found "maybe", wanted "true" or "false" for metadata DNS_CAPTURE'],
    ["proxyMetadata ISTIO_META_ENABLE_HBONE", 'found "maybe", wanted "true" or "false" for metadata ENABLE_HBONE'],
    ["ISTIO_METAJSON_X", 'found ["a"], wanted an object of texts for metadata LABELS'],
  ]);
});

test("a variable that fell back to its default is told also where the configuration is refused", async () => {
  const env = { ...IDENTITY, PROXY_CONFIG: "statusPort: x", SECRET_TTL: "soon" };
  const error = (await loadConfig({ args: [], env, cwd }).catch((thrown: unknown) => thrown)) as ConfigError;
  expect(error.warnings.map(({ name }) => name)).toEqual(["SECRET_TTL"]);
  expect(error.message).toContain("Invalid environment variable value `soon`");
});
