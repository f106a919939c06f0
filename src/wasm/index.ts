export { fetchPermits, isPrivate, refuseRealm } from "./addresses.ts";
export { WasmConversion, type WasmModule } from "./conversion.ts";
export type { ImageSource, WasmImage } from "./image.ts";
export { ModuleCache } from "./module-cache.ts";
