// The one door to the flags of `proxy` and their parser: the index of `config` would load what a start has no use for yet.
export { type FoundCommand, findCommand } from "../../config/find-command.ts";
export { ALL_FLAGS as PROXY_FLAGS, flagHelp, LOG_FLAGS, PROXY_ROLES } from "../../config/flags.ts";
export { type FlagSpec, type FlagValue, type FlagValues, type ParsedFlags, parseFlags } from "../../config/pflag.ts";
