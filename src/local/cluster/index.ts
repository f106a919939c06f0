export type { CloneChange } from "./clone-changes.ts";
export { type ClonePlan, planClone } from "./clone-plan.ts";
export {
  type ClusterCredentials,
  type CredentialsOptions,
  credentialFiles,
  fetchCredentials,
  writeCredentialFiles,
} from "./cluster-credentials.ts";
export { enterClone } from "./enter-clone.ts";
export { findGateway } from "./find-gateway.ts";
export { parseWorkloadName } from "./find-workload.ts";
export { forwardIstiod, type IstiodForward } from "./forward-istiod.ts";
export { curlLines } from "./gateway-listeners.ts";
export { type IstiodFacts, istiodFacts } from "./istiod-pods.ts";
export { keepCredentials } from "./keep-credentials.ts";
export { readClone, readFacts } from "./read-clone.ts";
