export { loadEnvoyTypes } from "./envoy-types.ts";
