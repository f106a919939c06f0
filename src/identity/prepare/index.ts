export { type KeySettings, type KeySource, type KeySpec, keySpec, startKeyGeneration } from "./keys.ts";
export type { CertificateFiles } from "./paths.ts";
export { type ConnectionPlan, type IdentityPlan, type IdentitySettings, planIdentity } from "./plan.ts";
export { decideSdsSocket, hasCredentialSocket, type SocketOptions, type SocketPlan } from "./socket.ts";
