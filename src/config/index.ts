export { CATALOGUE, type Settings } from "./catalogue.ts";
export {
  type ConfigEntry,
  configEntries,
  type EntryKind,
  settingNames,
  showField,
} from "./config-entries.ts";
export { ConfigError } from "./config-error.ts";
export type { ConfigDefaults } from "./defaults.ts";
export { readEgressProxy } from "./egress-proxy.ts";
export { ALL_FLAGS, LOG_FLAGS, PROXY_FLAGS, PROXY_ROLES, type ProxyFlags } from "./flags.ts";
export {
  type AgentConfig,
  type ConfigWords,
  type LoadedConfig,
  loadConfig,
  type ProxyRole,
} from "./load-config.ts";
export { type LogPlace, logPlaceOf } from "./log-config.ts";
export { type FlagSpec, type ParsedFlags, parseFlags } from "./pflag.ts";
export {
  DEFAULT_ORIGIN,
  formatOrigin,
  formatProblem,
  formatProblems,
  type Origin,
  type Problem,
} from "./problem.ts";
export { substitute } from "./substitute.ts";
