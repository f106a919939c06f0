export {
  type ClusterCredentials,
  type CredentialsOptions,
  credentialFiles,
  fetchCredentials,
  writeCredentialFiles,
} from "./cluster-credentials.ts";
export { forwardIstiod, type IstiodForward } from "./forward-istiod.ts";
export { keepCredentials } from "./keep-credentials.ts";
