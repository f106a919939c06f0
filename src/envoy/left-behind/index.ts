export { type EnvoyMark, endStaleEnvoy, isSameEnvoy, markEnvoy, RUN_VARIABLE } from "./stale.ts";
