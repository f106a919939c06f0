export { type LocalIstiod, leadServiceHere } from "./lead-service.ts";
export { findMachineAddress, type MachineAddress } from "./machine-address.ts";
export { type Restored, restoreService } from "./restore-service.ts";
export { savedFile } from "./saved-service.ts";
export type { ServicePlace } from "./service-objects.ts";
