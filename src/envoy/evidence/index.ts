export { type CrashFacts, keepEvidence } from "./crash-evidence.ts";
export { dumpThreads } from "./thread-dump.ts";
export { WATCHDOG, watchForHang } from "./watchdog.ts";
