import { resolve } from "node:path";

/**
 * The places that Istio's injector and VM packages agree on; relative ones start at the working directory. Sources:
 * istio/istio pkg/security/security.go, pkg/config/constants/constants.go.
 */
export const WELL_KNOWN = {
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
  crl: "/var/run/secrets/istio/crl/ca-crl.pem",
} as const;

/** A certificate, its key and the roots, as paths. */
export interface CertificateFiles {
  readonly certChain: string;
  readonly key: string;
  readonly root: string;
}

export function resolveAll(cwd: string, files: CertificateFiles): CertificateFiles {
  return {
    certChain: resolve(cwd, files.certChain),
    key: resolve(cwd, files.key),
    root: resolve(cwd, files.root),
  };
}
