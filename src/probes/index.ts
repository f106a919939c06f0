export { destinationOf } from "./destination.ts";
export { createProber, type Prober } from "./prober.ts";
