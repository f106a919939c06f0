import type { CompletionFlag, CompletionNode, Values } from "./completion-tree.ts";

/** The script for zsh: a function per command, which leaves the work to zsh's own \`_arguments\`. */
export function zshScript(nodes: readonly CompletionNode[], settings: readonly string[]): string {
  return `#compdef pilotboat
# zsh completion for pilotboat; in ~/.zshrc, after compinit: source <(pilotboat completion zsh)

typeset -ga _pilotboat_settings=(${settings.map(quote).join(" ")})

${nodes.map(functionOf).join("\n")}
if [[ $funcstack[1] == _pilotboat ]]; then
  _pilotboat "$@"
else
  compdef _pilotboat pilotboat
fi
`;
}

function functionOf(node: CompletionNode): string {
  const body = node.commands.length > 0 ? withCommands(node) : [`  _arguments -s -S ${allSpecs(node)}`];
  return [`${nameOf(node.path)}() {`, ...body, "}", ""].join("\n");
}

function nameOf(path: string): string {
  return ["_pilotboat", ...path.split(" ").filter((word) => word !== "")].join("_");
}

/** The first word is a sub-command, or else an argument of the command itself. */
function withCommands({ path, commands, flags, arguments: [first] }: CompletionNode): string[] {
  const rows = commands.map(({ name, summary }) => quote(`${name}:${summary.replaceAll(":", "\\:")}`));
  const choices = typeof first === "object" ? [`      compadd -- ${first.join(" ")} && result=0`] : [];
  return [
    "  local curcontext=$curcontext state line result=1",
    `  local -a commands=(\n    ${rows.join("\n    ")}\n  )`,
    `  _arguments -C -s -S ${[...flags.flatMap(flagSpecs), "'1: :->first'", "'*:: :->rest'"].join(LINE)} && result=0`,
    "  case $state in",
    "    first)",
    "      _describe -t commands command commands && result=0",
    ...choices,
    "      ;;",
    "    rest)",
    "      case $words[1] in",
    ...commands.map(({ name }) => `        ${name}) ${calleeOf(path, name)} && result=0 ;;`),
    "      esac",
    "      ;;",
    "  esac",
    "  return result",
  ];
}

/** What follows `help` is what follows the program's name. */
function calleeOf(path: string, name: string): string {
  return path === "" && name === "help" ? "_pilotboat" : nameOf(path === "" ? name : `${path} ${name}`);
}

const LINE = " \\\n    ";

function allSpecs({ flags, arguments: words, isProgram }: CompletionNode): string {
  const specs = words.map((values, at) => quote(`${at + 1}: :${actionOf(values)}`));
  const rest = isProgram ? ["'*::argument:_normal'"] : [];
  return [...(isProgram ? ["-A '-*'"] : []), ...flags.flatMap(flagSpecs), ...specs, ...rest].join(LINE);
}

function flagSpecs({ name, shorthand, help, values }: CompletionFlag): string[] {
  const what = `[${help.replaceAll(/[[\]\\]/g, "\\$&")}]`;
  const value = values === undefined ? "" : `: :${actionOf(values)}`;
  const long = `--${name}${values === undefined ? "" : "="}${what}${value}`;
  if (shorthand === undefined) return [quote(`*${long}`)];
  return [quote(`*${long}`), quote(`*-${shorthand}${values === undefined ? "" : "+"}${what}${value}`)];
}

function actionOf(values: Values): string {
  if (typeof values !== "string") return `(${values.join(" ")})`;
  return { file: "_files", folder: "_files -/", program: "_command_names -e", setting: SETTINGS, unknown: " " }[values];
}

const SETTINGS = "{compadd -a _pilotboat_settings}";

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
