import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { lookAtNode, renderFor } from "../../src/agent/start-envoy/index.ts";
import { silentLogger } from "../../src/base/index.ts";
import { command } from "../../src/cli/bootstrap.ts";
import { runCommand } from "../../src/cli/contract/index.ts";
import { replaceHostIp } from "../../src/config/bootstrap-override.ts";
import { loadConfig } from "../../src/config/index.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-template-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function render(
  template: string,
  env: Readonly<Record<string, string>> = {},
  args: readonly string[] = [],
): Promise<string> {
  await writeFile(join(folder, "t.json"), template);
  let out = "";
  const stream = { write: (text: string) => (out += text) } as unknown as NodeJS.WritableStream;
  const never = new AbortController().signal;
  await runCommand(command, ["render", ...args], {
    env: { ISTIO_BOOTSTRAP: "t.json", POD_NAME: "web", POD_NAMESPACE: "shop", INSTANCE_IP: "10.1.1.1", ...env },
    cwd: folder,
    stdout: stream,
    stderr: { write: () => true } as unknown as NodeJS.WritableStream,
    signals: { stop: never, hurry: never, force: never },
  });
  return out;
}

test.each([
  ["{{ .nodeID }} {{.nodeType}}", "sidecar~10.1.1.1~web.shop~shop.svc.cluster.local sidecar"],
  ["{{ .config.ProxyAdminPort }} {{ .config.ClusterName.ServiceCluster }}", "15000 istio-proxy"],
  ["{{ .config.DrainDuration.Seconds }}", "45"],
  ["{{ .metadata.Namespace }} {{ .nope }}", "shop <no value>"],
  ["a\n  {{- if .zipkin }} z {{- else if .statsd }} s {{- else }} none {{- end }}", "a none"],
  [
    "{{ range $i, $s := .inclusionSuffix }}{{ $i }}={{$s}};{{ end }}",
    "0=rbac.allowed;1=rbac.denied;2=shadow_allowed;3=shadow_denied;",
  ],
  ["{{ or .nope .localhost }} {{ and .nodeID .wildcard }}", "127.0.0.1 0.0.0.0"],
  [`{{ js "a'b<" }}`, "a\\'b\\u003C"],
  ["{{ toJson .config.ProxyMetadata }}", '{"A":"<b>"}'.replace("<", "\\u003c").replace(">", "\\u003e")],
  ['{{ index .config.ProxyMetadata "A" }} {{ .config.ProxyMetadata.A }}', "<b> <b>"],
  ['{{ default "d" .nope }} {{ upper "x" }} {{ "a,b" | splitList "," | join "-" }}', "d X a-b"],
  ["{{ .pilot_grpc_address }}", '{"address": "istiod.istio-system.svc", "port_value": 15012}'],
  ["{{ .xds_type }} {{ .envoy_status_port }} {{ .global_downstream_max_connections }}", "DELTA_GRPC 15021 2147483647"],
])("%s", async (template, expected) => {
  expect(await render(template, { PROXY_CONFIG: '{"proxyMetadata":{"A":"<b>"}}' })).toBe(expected);
});

/** What a template is given in every case; the rest of the table of Istio's stock template has a condition. */
const ALWAYS =
  "nodeID nodeType cluster meta_json_str metadata config runtime_flags pilot_SAN discovery_address discovery_host " +
  "pilot_grpc_address xds_root_cert xds_type metadata_discovery log_json localhost wildcard dns_lookup_family " +
  "workload_identity_socket_file metrics_localhost_access_only envoy_status_port envoy_prometheus_port " +
  "global_downstream_max_connections envoy_metrics_stats_compression inclusionPrefix inclusionSuffix inclusionRegexps " +
  "histogram_buckets";
const SOMETIMES =
  "region zone sub_zone outlier_log_path secure_metrics_port secure_merged_metrics_port " +
  "envoy_status_port_enable_proxy_protocol enable_self_discovery statsd zipkin tracing_tls " +
  "envoy_metrics_service_address envoy_metrics_service_tls envoy_metrics_service_tcp_keepalive " +
  "envoy_accesslog_service_address envoy_accesslog_service_tls envoy_accesslog_service_tcp_keepalive extraStatTags " +
  "stats_flush_interval stats_eviction_interval load_stats_config_json_str sts sts_port gcp_project_id gcp_project_number";
const STACKDRIVER =
  "stackdriver stackdriverProjectID stackdriverDebug stackdriverMaxAnnotations stackdriverMaxAttributes stackdriverMaxEvents";
const KEYS = '{{ range $name, $v := . }}{{ if ne (toString $name) "" }}{{ $name }} {{ end }}{{ end }}';
const sorted = (names: string): string[] => names.trim().split(" ").sort();

test("a template is given what Istio's stock template is given", async () => {
  expect(sorted(await render(KEYS))).toEqual(sorted(ALWAYS));
  const service = { address: "a:1", tlsSettings: { mode: "SIMPLE" }, tcpKeepalive: { time: "10s" } };
  await mkdir(join(folder, "etc/istio/pod"), { recursive: true });
  const intervals = 'sidecar.istio.io/statsFlushInterval="10s"\nsidecar.istio.io/statsEvictionInterval="20s"\n';
  await writeFile(join(folder, "etc/istio/pod/annotations"), intervals);
  await writeFile(join(folder, "etc/istio/pod/labels"), 'istio-locality="r/z/s"\n');
  const env = {
    PROXY_CONFIG: JSON.stringify({
      tracing: { zipkin: { address: "z:1" }, tlsSettings: { mode: "SIMPLE" } },
      statsdUdpAddress: "127.0.0.1:9",
      envoyMetricsService: service,
      envoyAccessLogService: service,
      extraStatTags: ["t"],
    }),
    GCP_METADATA: "project|1|c|l",
    ENVOY_SECURE_METRICS_PORT: "1",
    ENVOY_SECURE_MERGED_METRICS_PORT: "2",
    ENVOY_STATUS_PORT_ENABLE_PROXY_PROTOCOL: "true",
    ISTIO_META_ENABLE_SELF_DISCOVERY: "true",
    ISTIO_META_LOAD_STATS_CONFIG_JSON: "{}",
  };
  const found = sorted(await render(KEYS, env, ["--outlierLogPath=o", "--stsPort=15463"]));
  expect(found).toEqual(sorted(`${ALWAYS} ${SOMETIMES}`));
});

test("the JSON among them is escaped as Go does it", async () => {
  const env = { ISTIO_META_HTML: "<&>", PROXY_CONFIG: "runtimeValues: {flag: <}" };
  expect(await render("{{ .meta_json_str }}", env)).toContain(String.raw`"HTML":"\u003c\u0026\u003e"`);
  expect(await render("{{ .runtime_flags }}", env)).toContain(String.raw`"flag":"\u003c"`);
  const keys = Object.keys(JSON.parse(await render("{{ .runtime_flags }}")));
  expect(keys).toEqual([...keys].sort());
});

test("Stackdriver is told with its limits, and refused without a project", async () => {
  const PROXY_CONFIG = "tracing: {stackdriver: {maxNumberOfAttributes: 5}}";
  const env = { PROXY_CONFIG, GCP_METADATA: "project|1|c|l" };
  expect(sorted(await render(KEYS, env))).toEqual(sorted(`${ALWAYS} ${STACKDRIVER} gcp_project_number`));
  const limits = "{{ .stackdriverProjectID }} {{ .stackdriverMaxAttributes }} {{ .stackdriverMaxEvents }}";
  expect(await render(limits, env)).toBe("project 5 200");
  await expect(render("x", { PROXY_CONFIG })).rejects.toThrow("missing GCP Project");
});

/** sprig 3.3.0, generic functions. */
const SPRIG =
  "hello ago date date_in_zone date_modify dateInZone dateModify duration durationRound htmlDate htmlDateInZone " +
  "must_date_modify mustDateModify mustToDate now toDate unixEpoch abbrev abbrevboth trunc trim upper lower title untitle " +
  "substr repeat trimall trimAll trimSuffix trimPrefix nospace initials randAlphaNum randAlpha randAscii randNumeric " +
  "swapcase shuffle snakecase camelcase kebabcase wrap wrapWith contains hasPrefix hasSuffix quote squote cat indent " +
  "nindent replace plural sha1sum sha256sum sha512sum adler32sum toString atoi int64 int float64 seq toDecimal split " +
  "splitList splitn toStrings until untilStep add1 add sub div mod mul randInt add1f addf subf divf mulf biggest max min " +
  "maxf minf ceil floor round join sortAlpha default empty coalesce all any compact mustCompact fromJson toJson " +
  "toPrettyJson toRawJson mustFromJson mustToJson mustToPrettyJson mustToRawJson ternary deepCopy mustDeepCopy typeOf " +
  "typeIs typeIsLike kindOf kindIs deepEqual env expandenv base dir clean ext isAbs osBase osClean osDir osExt osIsAbs " +
  "b64enc b64dec b32enc b32dec tuple list dict get set unset hasKey pluck keys pick omit merge mergeOverwrite mustMerge " +
  "mustMergeOverwrite values append push mustAppend mustPush prepend mustPrepend first mustFirst rest mustRest last " +
  "mustLast initial mustInitial reverse mustReverse uniq mustUniq without mustWithout has mustHas slice mustSlice concat " +
  "dig chunk mustChunk uuidv4 semver semverCompare fail regexMatch mustRegexMatch regexFindAll mustRegexFindAll regexFind " +
  "mustRegexFind regexReplaceAll mustRegexReplaceAll regexReplaceAllLiteral mustRegexReplaceAllLiteral regexSplit " +
  "mustRegexSplit regexQuoteMeta urlParse urlJoin toJSON";

test("every function of sprig is there, but those for keys and the one that asks DNS", async () => {
  const calls = SPRIG.split(" ").map((name) => `{{ if false }}{{ ${name} 1 }}{{ end }}`);
  expect(await render(calls.join(""))).toBe("");
  await expect(render("{{ if false }}{{ genPrivateKey 1 }}{{ end }}")).rejects.toThrow('"genPrivateKey" not defined');
});

test.each([
  ['{{ env "POD_NAME" }} {{ env "NONE" }} {{ expandenv "$POD_NAME/${POD_NAMESPACE}" }}', "web  web/shop"],
  ['{{ b64enc "a" }} {{ b64dec "YQ==" }} {{ sha256sum "" | trunc 8 }}', "YQ== a e3b0c442"],
  [
    '{{ base "/a/b.json" }} {{ dir "/a/b.json" }} {{ ext "b.json" }} {{ clean "/a/../b/" }} {{ isAbs "a" }}',
    "b.json /a .json /b false",
  ],
  ['{{ (urlParse "https://me:pw@h:1/p?q=1#f").hostname }} {{ (urlParse "h:9411").opaque }}', "h 9411"],
  ['{{ urlJoin (urlParse "https://me:pw@h:1/p?q=1#f") }}', "https://me:pw@h:1/p?q=1#f"],
  ["{{ toJSON .nope }} {{ toJson .nope }} {{ mustToJson .nope }}", "{} null null"],
  [
    '{{ .nope.more }} {{ index .config.ProxyMetadata "NONE" }}|{{ .config.ProxyMetadata.NONE }}',
    "<no value> |<no value>",
  ],
  ["{{ if .config.Tracing }}yes{{ else }}no{{ end }} {{ toJson .config.Tracing }}", "no null"],
  ["{{ .config.Tracing.GetSampling }} {{ if .config.Tracing.GetZipkin }}yes{{ else }}no{{ end }}", "0 no"],
  ["{{ .metadata.WorkloadName }}|{{ .metadata.StsPort }}|{{ .metadata.EnvoyStatusPort }}", "||15021"],
  ["{{ .metadata.ProxyConfig.ProxyAdminPort }} {{ .metadata.Raw.NETWORK }}", "15000 n"],
  ["{{ toJson .config.DrainDuration }} {{ .config.DrainDuration.Nanos }}", '"45s" 0'],
  ["{{ (fromJson (toJson .config)).statusPort }}", "15020"],
])("%s", async (template, expected) => {
  expect(await render(template, { ISTIO_META_NETWORK: "n" })).toBe(expected);
});

test("members of a oneof are under its holder, and nested messages have getters", async () => {
  const PROXY_CONFIG = "tracing: {zipkin: {address: 'z:1'}, sampling: 5}\nconcurrency: 2\ntracingServiceName: 1";
  const template = "{{ .config.Tracing.GetZipkin.Address }} {{ .config.Tracing.Tracer.Zipkin.Address }}";
  expect(await render(template, { PROXY_CONFIG })).toBe("z:1 z:1");
  const rest =
    "{{ .config.Concurrency.Value }} {{ .config.ClusterName.TracingServiceName }} {{ .config.Tracing.Sampling }}";
  expect(await render(rest, { PROXY_CONFIG })).toBe("2 CANONICAL_NAME_ONLY 5");
});

test.each([
  "{{ .config.Nope }}",
  "{{ .config.Tracing.Sampling }}",
  "{{ .config.Concurrency.Value }}",
  "{{ .config.ClusterName.TracingServiceName }}",
  "{{ .metadata.Nope }}",
  "{{ index .inclusionPrefix 99 }}",
])("%s ends the rendering", async (template) => {
  await expect(render(template)).rejects.toMatchObject({ code: "CONFIG_INVALID" });
});

test.each([
  ["t.yaml", "yaml"],
  ["t.yaml.tmpl", "yaml"],
  ["t.yml", "json"],
  ["t.json", "json"],
])("what %s makes is %s", async (name, extension) => {
  await writeFile(join(folder, name), "x");
  const { config } = await loadConfig({ args: ["--templateFile", name], env: {}, cwd: folder });
  const node = await lookAtNode(config, silentLogger, new AbortController().signal);
  expect(await renderFor(config, node)).toMatchObject({ content: "x", extension });
});

test.each([
  ["{{ nosuch .x }}", "nosuch"],
  ["{{ if }}", "Cannot render"],
])("%s is refused, naming the file", async (template, text) => {
  await expect(render(template)).rejects.toMatchObject({
    code: "CONFIG_INVALID",
    message: expect.stringContaining(text),
  });
  await expect(render(template)).rejects.toThrow('bootstrap template "t.json"');
});

test.each([
  ["169.254.169.254", "[169.254.169.254]:8126 169.254.169.254:8126"],
  ["dead::beef", "[dead::beef]:8126 [dead::beef]:8126"],
  ["", "[]:8126 :8126"],
])("an override with HOST_IP %j", (hostIp, expected) => {
  expect(replaceHostIp("[$(HOST_IP)]:8126 $(HOST_IP):8126", hostIp)).toBe(expected);
});

test("what metadata does not have is null as JSON, and empty elsewhere", async () => {
  expect(await render("{{ toJson .metadata.Labels }} {{ toJson .metadata.RequestedNetworkView }}")).toBe("null null");
  expect(await render("{{ len .metadata.Labels }}{{ index .metadata.Labels `a` }}")).toBe("0");
});
