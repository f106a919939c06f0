import type { ProxyInput } from "../input.ts";
import { configs, variable, words } from "./make.ts";

const CREDENTIAL_SOCKETS = "var/run/secrets";

/** Flags, Envoy's arguments, the agent's own settings, credentials, and ends. */
export const RUNNING_INPUTS: readonly ProxyInput[] = [
  // flags
  ...words(
    "",
    "--nope router",
    "router --nope=1 --alsoNope --log_as_json",
    "--concurrency 2 router",
    "--concurrency=x",
    "--concurrency=-1",
    "--concurrency",
    "--profiling=false",
    "--profiling false",
    "--domain=",
    "--domain a b",
    "-- router",
    "--log_rotate=/x --statusPort 5",
    "--controlPlaneAuthPolicy=NONE",
    "-x router",
    "--tokenManagerPlugin=x",
    "--vklog=9",
    "--vklog=x",
    "--log_output_level=debug",
    "--log_output_level=default:debug,all:info",
    "--log_output_level=default,,",
    "--log_output_level=foobar",
    "--log_output_level=foobar:debug",
    "--log_output_level=a:b:c",
    "--log_stacktrace_level=nonsense",
    "--log_caller=all",
    "--log_target=stderr",
    "--log_target=agent.log",
    "--log_target=/nonexistent/agent.log",
    "--log_as_json=maybe",
    "--Log_as_json",
    "--log-as-json",
    "--help=false",
  ),
  // Envoy's arguments
  ...words(
    "--proxyLogLevel=info,misc:error",
    "--proxyLogLevel=misc:warn,info,upstream:debug",
    "--proxyLogLevel=info,warn",
    "--proxyLogLevel=a:b:c",
    "--proxyLogLevel=",
    "--proxyLogLevel=nonsense",
    "--proxyLogLevel=trace --proxyComponentLogLevel=misc:error",
    "--proxyLogLevel=trace,a:b --proxyComponentLogLevel=misc:error",
    "--proxyComponentLogLevel=misc:error,x:info",
  ),
  ...variable("ENVOY_SKIP_DEPRECATED_LOGS", "false"),
  ...variable("ISTIO_ENVOY_ENABLE_CORE_DUMP", "true"),
  ...variable("ODD_VALUE", "a=b\nc", "", " "),
  ...variable("NODE_OPTIONS", ""),
  ...variable("KUBERNETES_SERVICE_HOST", undefined),
  // settings of the agent
  ...variable("JWT_POLICY", "first-party-jwt", "none", ""),
  ...variable("PILOT_CERT_PROVIDER", "custom", "none", "kubernetes", "k8s.io/signer", ""),
  ...variable("CA_PROVIDER", "GkeWorkloadCertificate", "Other", ""),
  ...variable("CA_ADDR", "ca.example:15012", "nohost", ""),
  ...variable("CA_ROOT_CA", "SYSTEM", "missing.pem", "var/run/secrets/istio/root-cert.pem"),
  ...variable("XDS_ROOT_CA", "SYSTEM", "missing.pem", "var/run/secrets/istio/root-cert.pem"),
  ...variable("XDS_AUTH_PROVIDER", "gcp", "nonsense"),
  ...variable("ISTIOD_SAN", "istiod.other"),
  ...variable("TRUST_DOMAIN", "example.org", ""),
  ...variable("CREDENTIAL_FETCHER_TYPE", "", "GoogleComputeEngine", "Mock", "nonsense"),
  ...variable("SECRET_TTL", "1h", "1"),
  ...variable("SECRET_GRACE_PERIOD_RATIO", "0.2", "2", "x"),
  ...variable("WORKLOAD_RSA_KEY_SIZE", "4096", "1024", "x"),
  ...variable("ECC_SIGNATURE_ALGORITHM", "ECDSA", "nonsense"),
  ...variable("PKCS8_KEY", "true", "yes"),
  ...variable("FILE_MOUNTED_CERTS", "true"),
  ...variable("OUTPUT_CERTS", "certs"),
  ...variable("PROV_CERT", "certs"),
  { name: "PROV_CERT and FILE_MOUNTED_CERTS", env: { PROV_CERT: "certs", FILE_MOUNTED_CERTS: "true" } },
  { name: "a certificate output for gRPC", env: { OUTPUT_CERTS: "{root}/certs" } },
  ...variable("GRPC_XDS_BOOTSTRAP", "", "./other/grpc.json"),
  ...variable("PROXY_CONFIG_XDS_AGENT", "true"),
  ...late(
    ...variable(
      "ISTIO_KUBE_APP_PROBERS",
      '{"/app-health/web/livez":{"httpGet":{"path":"/","port":8080}}}',
      "nonsense",
      "{}",
      "",
    ),
    ...variable("ISTIO_PROMETHEUS_ANNOTATIONS", '{"scrape":"true","path":"/metrics","port":"8080"}', "nonsense", ""),
  ),
  ...variable("GRPC_KEEPALIVE_INTERVAL", "10s", "10"),
  ...variable("ISTIO_GPRC_MAXRECVMSGSIZE", "x"),
  ...variable("XDS_HEADER_x", "y"),
  ...variable("WASM_INSECURE_REGISTRIES", "a,b"),
  ...variable("ISTIO_AGENT_ENABLE_WASM_REMOTE_LOAD_CONVERSION", "false"),
  ...variable("ISTIO_META_CERT_SIGNER", "signer"),
  ...variable("CLOUD_PLATFORM", "NONE"),
  // credentials
  { name: "no root certificate", files: { "var/run/secrets/istio/root-cert.pem": undefined } },
  ...late(
    { name: "an empty root certificate", files: { "var/run/secrets/istio/root-cert.pem": "" } },
    { name: "a root that is no certificate", files: { "var/run/secrets/istio/root-cert.pem": "text" } },
  ),
  { name: "no token", files: { "var/run/secrets/tokens/istio-token": undefined } },
  { name: "an empty token", files: { "var/run/secrets/tokens/istio-token": "" } },
  {
    name: "no root and a plaintext control plane",
    files: { "var/run/secrets/istio/root-cert.pem": undefined },
    env: { PROXY_CONFIG: "{discoveryAddress: 'istiod:15010', controlPlaneAuthPolicy: NONE}" },
  },
  { name: "a file where the SDS socket goes", files: { [`${CREDENTIAL_SOCKETS}/workload-spiffe-uds/socket`]: "text" } },
  { name: "a file where the XDS socket goes", files: { "etc/istio/proxy/XDS": "text" } },
  { name: "a file where the folder of the configuration goes", files: { "etc/istio/proxy": "text" } },
  {
    name: "a bootstrap from before",
    files: { "etc/istio/proxy/envoy-rev.json": "{}", "etc/istio/proxy/grpc-bootstrap.json": "{}" },
  },
  // certificates from files, and sockets of other programs
  {
    name: "workload certificates in files",
    files: {
      "var/run/secrets/workload-spiffe-credentials/cert-chain.pem": "{pem:chain}",
      "var/run/secrets/workload-spiffe-credentials/key.pem": "{pem:key}",
      "var/run/secrets/workload-spiffe-credentials/root-cert.pem": "{pem:root}",
    },
  },
  {
    name: "workload certificates in /etc/certs",
    files: {
      "etc/certs/cert-chain.pem": "{pem:chain}",
      "etc/certs/key.pem": "{pem:key}",
      "etc/certs/root-cert.pem": "{pem:root}",
    },
  },
  {
    name: "GKE's workload certificates",
    env: { CA_PROVIDER: "GkeWorkloadCertificate" },
    files: {
      "var/run/secrets/workload-spiffe-credentials/certificates.pem": "{pem:chain}",
      "var/run/secrets/workload-spiffe-credentials/private_key.pem": "{pem:key}",
      "var/run/secrets/workload-spiffe-credentials/ca_certificates.pem": "{pem:root}",
    },
  },
  {
    name: "FILE_MOUNTED_CERTS with files",
    env: {
      FILE_MOUNTED_CERTS: "true",
      PROXY_CONFIG: JSON.stringify({
        proxyMetadata: {
          ISTIO_META_TLS_CLIENT_CERT_CHAIN: "certs/chain.pem",
          ISTIO_META_TLS_CLIENT_KEY: "certs/key.pem",
          ISTIO_META_TLS_CLIENT_ROOT_CERT: "certs/root.pem",
        },
      }),
    },
    files: { "certs/chain.pem": "{pem:chain}", "certs/key.pem": "{pem:key}", "certs/root.pem": "{pem:root}" },
  },
  {
    name: "PROV_CERT with files",
    env: { PROV_CERT: "certs" },
    files: { "certs/cert-chain.pem": "{pem:chain}", "certs/key.pem": "{pem:key}", "certs/root-cert.pem": "{pem:root}" },
  },
  {
    name: "the workload socket of another program",
    files: { "var/run/secrets/workload-spiffe-uds/socket": "a gRPC server" },
  },
  {
    name: "the workload socket of another program under another name",
    env: { WORKLOAD_IDENTITY_SOCKET_FILE: "spire.sock" },
    files: { "var/run/secrets/workload-spiffe-uds/spire.sock": "a gRPC server" },
  },
  {
    name: "the credential socket of another program",
    files: { "var/run/secrets/credential-uds/socket": "a gRPC server" },
  },
  // ends
  ...[1, 3, 137].map((code) => ({ name: `Envoy ends with ${code}`, envoyEnds: code })),
  { name: "SIGTERM", envoyEnds: "when told", env: { PROXY_CONFIG: "terminationDrainDuration: 0s" } },
  { name: "SIGTERM, and it drains", envoyEnds: "when told", env: { PROXY_CONFIG: "terminationDrainDuration: 1s" } },
  {
    name: "SIGTERM without an Envoy",
    env: { DISABLE_ENVOY: "true" },
    envoyEnds: "when told",
    isUpWith: "root/etc/istio/proxy/grpc-bootstrap.json",
  },
  ...configs("binaryPath: ./missing", "binaryPath: {root}/etc", "binaryPath: envoy"),
];

/** pilotboat starts Envoy before it has looked at everything: with these Envoy lives until it has. */
function late(...inputs: readonly ProxyInput[]): ProxyInput[] {
  return inputs.map((input) => ({ ...input, envoyEnds: { afterSeconds: 5 } }));
}
