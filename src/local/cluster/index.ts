export {
  type ClusterCredentials,
  type CredentialsOptions,
  credentialFiles,
  fetchCredentials,
  ISTIO_AUDIENCE,
  ISTIO_NAMESPACE,
  writeCredentialFiles,
} from "./cluster-credentials.ts";
export { forwardIstiod, type IstiodForward, type IstiodForwardOptions } from "./forward-istiod.ts";
export { type KeepOptions, type KeptCredentials, keepCredentials } from "./keep-credentials.ts";
