import { resolve } from "node:path";
import { toMs } from "../../base/index.ts";
import type { AgentConfig } from "../../config/index.ts";
import type { KeyProvider, SecretsOptions, TokensOptions } from "../../identity/index.ts";
import type { IdentitySettings, KeySettings } from "../../identity/prepare/index.ts";
import { PATHS } from "../../istio/index.ts";

// What each piece of `identity` takes of the configuration.

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

export function tokensOptions({ cwd, settings }: AgentConfig): Omit<TokensOptions, "log" | "metrics"> {
  return {
    fetcher: settings.credentialFetcher,
    path: resolve(cwd, PATHS.token),
    trustDomain: settings.trustDomain,
    ...(settings.gceMetadataHost === "" ? {} : { gceMetadataHost: settings.gceMetadataHost }),
  };
}

/** What the CA client needs beside its plan. */
export function caOptions({ cwd, settings, caHeaders, egressProxy }: AgentConfig) {
  return {
    compliance: settings.compliancePolicy,
    tokenFile: resolve(cwd, PATHS.token),
    clusterId: settings.clusterId,
    certSigner: settings.certSigner,
    headers: caHeaders,
    proxy: egressProxy,
    ttlSeconds: Math.trunc(settings.secretTtlMs / 1_000),
    attemptMs: settings.caRequestTimeoutMs,
  };
}

export function xdsOptions({ cwd, settings, egressProxy }: AgentConfig) {
  return {
    compliance: settings.compliancePolicy,
    proxy: egressProxy,
    asked: {
      namespace: settings.podNamespace,
      serviceAccount: settings.serviceAccount,
      clusterId: settings.clusterId,
    },
    tokenFile: resolve(cwd, PATHS.token),
  };
}

export function secretsOptions({ cwd, settings }: AgentConfig) {
  return {
    cwd,
    identity: {
      trustDomain: settings.trustDomain,
      namespace: settings.podNamespace,
      serviceAccount: settings.serviceAccount,
      isAnyTaken: settings.isAnyIdentityTaken,
    },
    output:
      settings.outputCerts === ""
        ? undefined
        : {
            folder: resolve(cwd, settings.outputCerts),
            mode: settings.kubernetesServiceHost === "" ? 0o600 : 0o644,
          },
    crlFile: settings.isCrlEnabled ? PATHS.crl : undefined,
    rotation: { ratio: settings.gracePeriodRatio, jitter: settings.gracePeriodJitter },
    debounceMs: settings.fileDebounceMs,
  } satisfies Partial<SecretsOptions>;
}
