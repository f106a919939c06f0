export { reasonNotToInject } from "./decide.ts";
export { injectPod } from "./inject-pod.ts";
export { readInjectionConfig } from "./injection-config.ts";
export type { Injector, PodPlace } from "./pod/injector.ts";
export { findPod, hasUnknownPod } from "./workload.ts";
