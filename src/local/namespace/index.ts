export type { Way } from "./enter-namespace.ts";
export { joinNamespace } from "./join-namespace.ts";
export { type MeshNamespace, openMeshNamespace } from "./mesh-namespace.ts";
export { checkUser, NAME_SERVER } from "./open-namespace.ts";
export { type Relay, relayResources } from "./relays.ts";
export { type Program, startInside } from "./start-inside.ts";
