import type { ProxyInput } from "../input.ts";
import { ANNOTATIONS, annotations, LABELS, variable, words } from "./make.ts";

const STATS = "sidecar.istio.io";

/** The names that a template can use: spec of istio/istio pkg/bootstrap/option. */
const VARIABLES = [
  ...["nodeID", "nodeType", "cluster", "region", "zone", "sub_zone", "meta_json_str", "runtime_flags", "pilot_SAN"],
  ...["discovery_address", "discovery_host", "pilot_grpc_address", "xds_root_cert", "xds_type", "metadata_discovery"],
  ...[
    "log_json",
    "localhost",
    "wildcard",
    "dns_lookup_family",
    "additional_localhost",
    "additional_wildcard",
    "dual_stack",
  ],
  ...["outlier_log_path", "custom_file_path", "workload_identity_socket_file", "metrics_localhost_access_only"],
  ...["secure_metrics_port", "secure_merged_metrics_port", "envoy_status_port", "envoy_prometheus_port"],
  ...["envoy_status_port_enable_proxy_protocol", "enable_self_discovery", "global_downstream_max_connections"],
  ...["statsd", "zipkin", "lightstep", "datadog", "lightstepToken", "stackdriver", "stackdriverProjectID"],
  ...[
    "tracing_tls",
    "envoy_metrics_service_address",
    "envoy_metrics_service_tls",
    "envoy_metrics_service_tcp_keepalive",
  ],
  ...["envoy_accesslog_service_address", "envoy_accesslog_service_tls", "envoy_metrics_stats_compression"],
  ...["extraStatTags", "inclusionPrefix", "inclusionSuffix", "inclusionRegexps", "histogram_buckets"],
  ...[
    "stats_flush_interval",
    "stats_eviction_interval",
    "load_stats_config_json_str",
    "sts",
    "sts_port",
    "gcp_project_id",
  ],
  ...["gcp_project_number", "config.ConfigPath", "config.DrainDuration.Seconds", "config.StatNameLength"],
  ...[
    "config.ControlPlaneAuthPolicy",
    "config.ClusterName.ServiceCluster",
    "config.ProxyMetadata.A",
    "config.ExtraStatTags",
  ],
  ...[
    "metadata.Namespace",
    "metadata.Labels",
    "metadata.InstanceIPs",
    "metadata.EnableHBONE",
    "metadata.ProxyConfig.StatusPort",
  ],
];
const PRINTS_ALL = VARIABLES.map((name) => `${name}: {{ .${name} }}\n`).join("");
const TEMPLATE = { args: ["--templateFile", "all.txt"], files: { "all.txt": PRINTS_ALL } };

const EVERY_VARIABLE: readonly ProxyInput[] = [
  { name: "every variable of a template", ...TEMPLATE, env: { ISTIO_META_ISTIO_VERSION: "1.31" } },
  {
    name: "every variable of a template, set",
    args: [...TEMPLATE.args, "--outlierLogPath=/o", "--stsPort=15463", "--log_as_json"],
    addresses: ["10.3.3.3/24", "2001:db8::5/64"],
    env: {
      ISTIO_DUAL_STACK: "true",
      ISTIO_META_ENABLE_SELF_DISCOVERY: "true",
      ISTIO_META_ENABLE_HBONE: "true",
      ISTIO_META_HTML: "<a&b>",
      ISTIO_META_ISTIO_VERSION: "1.31",
      ENVOY_SECURE_METRICS_PORT: "15091",
      ENVOY_SECURE_MERGED_METRICS_PORT: "15092",
      XDS_ROOT_CA: "var/run/secrets/istio/root-cert.pem",
      PROXY_CONFIG: JSON.stringify({
        statsdUdpAddress: "10.1.2.3:8125",
        tracing: { lightstep: { address: "ls:443", accessToken: "t" }, tlsSettings: { mode: "SIMPLE" } },
        envoyMetricsService: { address: "m:1", tlsSettings: { mode: "ISTIO_MUTUAL" }, tcpKeepalive: { probes: 3 } },
        envoyAccessLogService: { address: "a:1" },
        extraStatTags: ["a", "b"],
        proxyMetadata: { A: "a" },
        runtimeValues: { a: "<" },
      }),
    },
    files: {
      ...TEMPLATE.files,
      [LABELS]: 'app="web"\nistio-locality="r.z.s"\n',
      [ANNOTATIONS]: `${STATS}/statsHistogramBuckets="{\\"a\\":[1,2.5]}"\n${STATS}/statsFlushInterval="5s"\n${STATS}/statsEvictionInterval="10s"\n`,
    },
  },
];

/** What shapes the bootstrap beside ProxyConfig: annotations of statistics, ports, templates, overlays. */
export const BOOTSTRAP_INPUTS: readonly ProxyInput[] = [
  ...annotations(
    `${STATS}/statsInclusionPrefixes="prefix1,prefix2,http.{pod_ip}_"\n`,
    `${STATS}/statsInclusionPrefixes=""\n`,
    `${STATS}/statsInclusionPrefixes=" a , ,b"\n`,
    `${STATS}/statsInclusionPrefixes="quo\\"te,back\\\\slash"\n`,
    `${STATS}/statsInclusionSuffixes="suffix1,suffix2"\n`,
    `${STATS}/statsInclusionRegexps="http.[0-9]*\\\\.[0-9]*_8080,.*"\n`,
    `${STATS}/statsInclusionRegexps="it's <b> & \\"q\\" = ü"\n`,
    `${STATS}/extraStatTags="dlp_status,dlp_error,,dlp_status"\n`,
    `${STATS}/statsHistogramBuckets="{\\"istio\\":[1,5,10.5],\\"envoy\\":[1]}"\n`,
    `${STATS}/statsHistogramBuckets="nonsense"\n`,
    `${STATS}/statsHistogramBuckets="{}"\n`,
    `${STATS}/statsHistogramBuckets="{\\"a\\":[]}"\n`,
    `${STATS}/statsHistogramBuckets="{\\"a\\":[1e3,0.1,1e21]}"\n`,
    `${STATS}/statsFlushInterval="10s"\n`,
    `${STATS}/statsFlushInterval="1m30s"\n`,
    `${STATS}/statsFlushInterval="500ms"\n`,
    `${STATS}/statsFlushInterval="10"\n`,
    `${STATS}/statsFlushInterval="0s"\n`,
    `${STATS}/statsEvictionInterval="10s"\n`,
    `${STATS}/statsEvictionInterval="11s"\n`,
    `${STATS}/statsFlushInterval="4s"\n${STATS}/statsEvictionInterval="10s"\n`,
    `${STATS}/statsFlushInterval="10s"\n${STATS}/statsEvictionInterval="2m"\n`,
    `${STATS}/statsFlushInterval="0s"\n${STATS}/statsEvictionInterval="10s"\n`,
    `${STATS}/componentLogLevel="misc:error"\n${STATS}/enableCoreDump="true"\n`,
  ),
  ...variable("ISTIO_DELTA_XDS", "false", "nonsense"),
  { name: "a waypoint without delta", args: ["waypoint"], env: { ISTIO_DELTA_XDS: "false" } },
  { name: "HBONE without delta", env: { ISTIO_DELTA_XDS: "false", ISTIO_META_ENABLE_HBONE: "true" } },
  ...variable("ENVOY_STATUS_PORT", "15099", "0", "abc", "-5"),
  ...variable("ENVOY_STATUS_PORT_ENABLE_PROXY_PROTOCOL", "true", "yes"),
  ...variable("ENVOY_PROMETHEUS_PORT", "15098", "0"),
  ...variable("ENVOY_SECURE_METRICS_PORT", "15091"),
  ...variable("ENVOY_SECURE_MERGED_METRICS_PORT", "15092"),
  {
    name: "both secure ports on IPv6",
    addresses: ["2001:db8::5/64"],
    env: { INSTANCE_IP: "2001:db8::5", ENVOY_SECURE_METRICS_PORT: "15091", ENVOY_SECURE_MERGED_METRICS_PORT: "15092" },
  },
  {
    name: "localhost metrics, dual stack",
    addresses: ["10.3.3.3/24", "2001:db8::5/64"],
    env: { ISTIO_DUAL_STACK: "1", PROXY_CONFIG: "proxyMetadata: {METRICS_LOCALHOST_ACCESS_ONLY: 'true'}" },
  },
  ...variable("WORKLOAD_IDENTITY_SOCKET_FILE", "other", "", "../up", "a/b"),
  ...variable("EXIT_ON_ZERO_ACTIVE_CONNECTIONS", "true"),
  ...variable("MINIMUM_DRAIN_DURATION", "1s", "1"),
  ...variable("COMPLIANCE_POLICY", "fips-140-2", "fips-140-3", "pqc", "none", "nonsense"),
  ...variable("HTTP_STRIP_FRAGMENT_FROM_PATH_UNSAFE_IF_DISABLED", "false"),
  ...words("--outlierLogPath=/dev/stdout", "--stsPort=15463", "--stsPort=-1", "--log_as_json"),
  // templates
  {
    name: "a template by flag",
    args: ["--templateFile", "my.json"],
    files: { "my.json": '{"id": "{{ .nodeID }}", "cluster": "{{ .cluster }}", "port": {{ .config.ProxyAdminPort }}}' },
  },
  {
    name: "a template by variable",
    env: { ISTIO_BOOTSTRAP: "my.yaml.tmpl" },
    files: {
      "my.yaml.tmpl":
        "id: {{ .nodeID }}\n{{- if .zipkin }}\nzipkin: {{ .zipkin }}\n{{- else }}\nzipkin: none\n{{- end }}\ntags: {{ range $i, $v := .extraStatTags }}{{ $i }}={{ $v }} {{ end }}\n",
    },
  },
  {
    name: "a template by config",
    env: { PROXY_CONFIG: "proxyBootstrapTemplatePath: ./my.tmpl" },
    files: {
      "my.tmpl":
        '{{ toJson .metadata.Labels }} {{ .nope }} {{ js "a\'b" }} {{ or .nope "else" }} {{ printf "%q %5.2f %v" "x" 1.5 true }}',
    },
  },
  {
    name: "all three templates",
    args: ["--templateFile", "flag.json"],
    env: { ISTIO_BOOTSTRAP: "variable.json", PROXY_CONFIG: "proxyBootstrapTemplatePath: config.json" },
    files: {
      "flag.json": '{"from": "flag"}',
      "variable.json": '{"from": "variable"}',
      "config.json": '{"from": "config"}',
    },
  },
  { name: "a missing template", args: ["--templateFile", "missing.json"] },
  { name: "a template that cannot be parsed", args: ["--templateFile", "my.json"], files: { "my.json": "{{ if }}" } },
  {
    name: "a template with an unknown function",
    args: ["--templateFile", "my.json"],
    files: { "my.json": "{{ nonsense 1 }}" },
  },
  {
    name: "a template with an unknown field",
    args: ["--templateFile", "my.json"],
    files: { "my.json": "text {{ .config.Nope }}" },
  },
  {
    name: "a template with sprig's functions",
    args: ["--templateFile", "my.json"],
    files: {
      "my.json":
        '{{ "a b" | upper | quote }} {{ list 1 2 3 | join "-" }} {{ dict "a" 1 | toJson }} {{ default "d" .nope }} {{ trimSuffix ".json" "x.json" }} {{ ternary "y" "n" true }}',
    },
  },
  ...EVERY_VARIABLE,
  {
    name: "a custom bootstrap",
    env: { PROXY_CONFIG: "customConfigFile: ./custom.json" },
    files: { "custom.json": '{"node": {"id": "mine"}, "admin": {}}' },
  },
  { name: "a missing custom bootstrap", env: { PROXY_CONFIG: "customConfigFile: ./missing.json" } },
  {
    name: "a custom bootstrap and a template",
    args: ["--templateFile", "my.json"],
    env: { PROXY_CONFIG: "customConfigFile: ./custom.json" },
    files: { "custom.json": "{}", "my.json": "{}" },
  },
  { name: "no template in the image", files: { "var/lib/istio/envoy/envoy_bootstrap_tmpl.json": undefined } },
  // overlay
  {
    name: "an overlay of the bootstrap",
    env: { ISTIO_BOOTSTRAP_OVERRIDE: "over.yaml", HOST_IP: "192.0.2.4" },
    files: { "over.yaml": 'b: 1\na: {d: "$(HOST_IP):8126", c: "[$(HOST_IP)]:8126"}\nlist: [yes, 010, 1.50]\n' },
  },
  {
    name: "an overlay with an IPv6 host",
    env: { ISTIO_BOOTSTRAP_OVERRIDE: "over.yaml", HOST_IP: "dead::beef" },
    files: { "over.yaml": 'ip: "[$(HOST_IP)]:8126"\nip2: "$(HOST_IP):8126"\n' },
  },
  {
    name: "an overlay without HOST_IP",
    env: { ISTIO_BOOTSTRAP_OVERRIDE: "over.json" },
    files: { "over.json": '{"a": "$(HOST_IP)", "html": "<&>", "n": 1e21, "f": 0.1, "i": 10000000}' },
  },
  { name: "a missing overlay", env: { ISTIO_BOOTSTRAP_OVERRIDE: "missing.yaml" } },
  { name: "a broken overlay", env: { ISTIO_BOOTSTRAP_OVERRIDE: "over.yaml" }, files: { "over.yaml": "a: [" } },
];
