import { toMs } from "../base/index.ts";
import type { AgentConfig } from "../config/index.ts";
import type { KeyProvider } from "../identity/index.ts";
import type { IdentitySettings, KeySettings } from "../identity/prepare/index.ts";
import type { NodeDescription } from "../node/index.ts";

// What identity and status are told, out of the one configuration. Pure: no room reads more than this.

export function identitySettings({ cwd, proxy, settings }: AgentConfig, hasExternalSds: boolean): IdentitySettings {
  const { proxyMetadata } = proxy;
  const file = (name: string): string | undefined => proxyMetadata[`ISTIO_META_TLS_CLIENT_${name}`];
  const files = { certChain: file("CERT_CHAIN"), key: file("KEY"), root: file("ROOT_CERT") };
  return {
    cwd,
    caAddress: settings.caAddress,
    discoveryAddress: proxy.discoveryAddress,
    isXdsPlaintext: proxy.controlPlaneAuthPolicy === "NONE",
    caProvider: settings.caProvider,
    caRoot: settings.caRoot,
    sslCertFile: settings.sslCertFile,
    sslCertDir: settings.sslCertDir,
    xdsRoot: settings.xdsRoot,
    pilotCertProvider: settings.pilotCertProvider,
    istiodSan: settings.istiodSan,
    provCert: settings.provCert,
    outputCerts: settings.outputCerts,
    isFileMountedCerts: settings.isFileMountedCerts,
    compliance: settings.compliancePolicy,
    metadataFiles: Object.fromEntries(Object.entries(files).filter(([, path]) => path !== undefined)),
    hasExternalSds,
    isControlPlaneOptional: proxy.customConfigFile !== "",
  };
}

export function keySettings({ settings }: AgentConfig): KeySettings {
  const { rsaKeySize, eccAlgorithm, eccCurve, isPkcs8 } = settings;
  return { rsaKeySize, eccAlgorithm, eccCurve, isPkcs8 };
}

/** `privateKeyProvider`, in the form that the SDS server takes. */
export function keyProvider({ proxy }: AgentConfig): KeyProvider | undefined {
  const { cryptomb, qat } = proxy.privateKeyProvider ?? {};
  const method = cryptomb ?? qat;
  if (method === undefined) return undefined;
  const kind = cryptomb === undefined ? "qat" : "cryptomb";
  return { kind, pollDelayMs: toMs(method.pollDelay ?? 0n), fallback: method.fallback ?? false };
}

/** Where Envoy gives its statistics for the merged scrape; undefined leaves them out. */
export function envoyStats({ settings }: AgentConfig, node: NodeDescription) {
  if (settings.isEnvoyDisabled || !settings.isEnvoyStatsMerged) return undefined;
  return { host: node.family.localhost, port: settings.envoyPrometheusPort };
}
