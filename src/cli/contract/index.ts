export {
  type FlagSpec,
  type FlagValue,
  type FlagValues,
  type FoundCommand,
  findCommand,
  flagHelp,
  PROXY_FLAGS,
  PROXY_ROLES,
  parseFlags,
} from "./command-line.ts";
export { type Argument, type Command, defineCommand, type Input, PROXY_TYPE, type Section } from "./define-command.ts";
export { asCalled, type CommandName, DROP_IN, IPTABLES, namedAs, PROGRAM } from "./program-name.ts";
export { choicesOf, didYouMean, flagsOf, HELP_SUMMARY, ROOT_FLAGS, usageError } from "./read-words.ts";
export { runCommand } from "./run-command.ts";
