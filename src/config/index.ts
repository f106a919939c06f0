export { CATALOGUE, type Settings } from "./catalogue.ts";
export { type ConfigEntry, configEntries, type EntryKind, flagHelp, showField } from "./config-entries.ts";
export { ConfigError } from "./config-error.ts";
export type { ConfigDefaults } from "./defaults.ts";
export { readEgressProxy } from "./egress-proxy.ts";
export { ALL_FLAGS, LOG_FLAGS, PROXY_FLAGS, type ProxyFlags } from "./flags.ts";
export {
  type AgentConfig,
  type ConfigWords,
  type LoadedConfig,
  loadConfig,
  PROXY_ROLES,
  type ProxyRole,
} from "./load-config.ts";
export { type LogPlace, logPlaceOf } from "./log-config.ts";
export { type FlagSpec, type ParsedFlags, parseFlags } from "./pflag.ts";
export {
  DEFAULT_ORIGIN,
  formatOrigin,
  formatProblem,
  formatProblems,
  nearest,
  type Origin,
  type Problem,
} from "./problem.ts";
export { substitute } from "./substitute.ts";
