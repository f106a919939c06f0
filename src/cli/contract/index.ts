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
export { choicesOf, didYouMean, flagsOf, ROOT_FLAGS, usageError } from "./read-words.ts";
export { runCommand } from "./run-command.ts";
