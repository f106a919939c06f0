/**
 * The places that Istio's injector and VM packages agree on; relative ones start at the working directory. Sources:
 * istio/istio pkg/security/security.go, pkg/config/constants/constants.go.
 */
export const PATHS = {
  /** Of `ProxyConfig.configPath`; a run's bootstrap, sockets and `agent.json` stand there. */
  config: "./etc/istio/proxy",
  meshConfig: "./etc/istio/config/mesh",
  podLabels: "./etc/istio/pod/labels",
  podAnnotations: "./etc/istio/pod/annotations",
  token: "./var/run/secrets/tokens/istio-token",
  controlPlaneRoot: "./var/run/secrets/istio/root-cert.pem",
  mounted: {
    certChain: "./etc/certs/cert-chain.pem",
    key: "./etc/certs/key.pem",
    root: "./etc/certs/root-cert.pem",
  },
  workloadFiles: {
    certChain: "./var/run/secrets/workload-spiffe-credentials/cert-chain.pem",
    key: "./var/run/secrets/workload-spiffe-credentials/key.pem",
    root: "./var/run/secrets/workload-spiffe-credentials/root-cert.pem",
  },
  gkeFiles: {
    certChain: "./var/run/secrets/workload-spiffe-credentials/certificates.pem",
    key: "./var/run/secrets/workload-spiffe-credentials/private_key.pem",
    root: "./var/run/secrets/workload-spiffe-credentials/ca_certificates.pem",
  },
  workloadSocketFolder: "./var/run/secrets/workload-spiffe-uds",
  credentialSocket: "./var/run/secrets/credential-uds/socket",
  filesSocket: "./var/run/secrets/credential-uds/files-socket",
  /** What an agent keeps from one run to the next; made by Istio's images and packages. */
  data: "/var/lib/istio/data",
  crl: "/var/run/secrets/istio/crl/ca-crl.pem",
} as const;

/** Where volumes are mounted in the proxy's container of a pod. Source: istio/istio manifests/charts/istio-control. */
export const MOUNTS = {
  workloadSocket: "/var/run/secrets/workload-spiffe-uds",
  credentialSocket: "/var/run/secrets/credential-uds",
  workloadFiles: "/var/run/secrets/workload-spiffe-credentials",
  root: "/var/run/secrets/istio",
  crl: "/var/run/secrets/istio/crl",
  data: PATHS.data,
  config: "/etc/istio/proxy",
  token: "/var/run/secrets/tokens",
  podInfo: "/etc/istio/pod",
  customBootstrap: "/etc/istio/custom-bootstrap",
} as const;
