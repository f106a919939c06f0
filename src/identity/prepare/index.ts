export { type KeySettings, type KeySource, keySpec, startKeyGeneration } from "./keys.ts";
export { type IdentityPlan, type IdentitySettings, planIdentity } from "./plan.ts";
export { decideSdsSocket, hasCredentialSocket, type SocketPlan } from "./socket.ts";
