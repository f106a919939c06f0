export { FIPS_CIPHERS } from "./ciphers.ts";
export { parseDownwardApi } from "./downward-api.ts";
export { recognizeDump, refuseDump } from "./envoy-dump.ts";
export {
  hideMetadataSecrets,
  hideSecrets,
  hideSecretsInText,
  hideSecretsInTexts,
  hideSecretsInWord,
  isSecretHeader,
  isSecretName,
} from "./hide-secrets.ts";
export { refusedKey, refusedProvCert, refusedSocketName } from "./identity-rules.ts";
export { isNamespaceName, isServiceAccountName, KUBERNETES_NAME } from "./kubernetes-names.ts";
export { METRIC_PREFIX } from "./metric-prefix.ts";
export { MOUNTS, PATHS } from "./paths.ts";
