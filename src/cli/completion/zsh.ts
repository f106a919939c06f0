import {
  type CompletionFlag,
  type CompletionNode,
  identifier,
  type ScriptWords,
  type Values,
} from "./completion-tree.ts";

/** The script for zsh: a function per command, which leaves the work to zsh's own \`_arguments\`. */
export function zshScript({ program, nodes, settings }: ScriptWords): string {
  return `#compdef ${program}
# zsh completion for ${program}; in ~/.zshrc, after compinit: source <(${program} completion zsh)

typeset -ga _${identifier(program)}_settings=(${settings.map(quote).join(" ")})

${nodes.map((node) => functionOf(node, program)).join("\n")}
if [[ $funcstack[1] == _${program} ]]; then
  _${program} "$@"
else
  compdef _${program} ${program}
fi
`;
}

function functionOf(node: CompletionNode, program: string): string {
  const body =
    node.commands.length > 0 ? withCommands(node, program) : [`  _arguments -s -S ${allSpecs(node, program)}`];
  return [`${nameOf(node.path, program)}() {`, ...body, "}", ""].join("\n");
}

function nameOf(path: string, program: string): string {
  return [`_${program}`, ...path.split(" ").filter((word) => word !== "")].join("_");
}

/** The first word is a sub-command, or else an argument of the command itself. */
function withCommands({ path, commands, flags, arguments: [first] }: CompletionNode, program: string): string[] {
  const rows = commands.map(({ name, summary }) =>
    quote(`${name}${summary === "" ? "" : `:${summary.replaceAll(":", "\\:")}`}`),
  );
  const choices = typeof first === "object" ? [`      compadd -- ${first.join(" ")} && result=0`] : [];
  return [
    "  local curcontext=$curcontext state line result=1",
    `  local -a commands=(\n    ${rows.join("\n    ")}\n  )`,
    `  _arguments -C -s -S ${[...flags.flatMap((flag) => flagSpecs(flag, program)), "'1: :->first'", "'*:: :->rest'"].join(LINE)} && result=0`,
    "  case $state in",
    "    first)",
    "      _describe -t commands command commands && result=0",
    ...choices,
    "      ;;",
    "    rest)",
    "      case $words[1] in",
    ...commands.map(({ name }) => `        ${name}) ${calleeOf(path, name, program)} && result=0 ;;`),
    "      esac",
    "      ;;",
    "  esac",
    "  return result",
  ];
}

/** What follows `help` is what follows the program's name. */
function calleeOf(path: string, name: string, program: string): string {
  return nameOf(path === "" && name === "help" ? "" : `${path} ${name}`, program);
}

const LINE = " \\\n    ";

function allSpecs({ flags, arguments: words, isProgram }: CompletionNode, program: string): string {
  const specs = words.map((values, at) => quote(`${at + 1}: :${actionOf(values, program)}`));
  const rest = isProgram ? ["'*::argument:_normal'"] : [];
  return [
    ...(isProgram ? ["-A '-*'"] : []),
    ...flags.flatMap((flag) => flagSpecs(flag, program)),
    ...specs,
    ...rest,
  ].join(LINE);
}

function flagSpecs({ name, shorthand, help, values }: CompletionFlag, program: string): string[] {
  const what = help === "" ? "" : `[${help.replaceAll(/[[\]\\]/g, "\\$&")}]`;
  const value = values === undefined ? "" : `: :${actionOf(values, program)}`;
  const long = `--${name}${values === undefined ? "" : "="}${what}${value}`;
  if (shorthand === undefined) return [quote(`*${long}`)];
  return [quote(`*${long}`), quote(`*-${shorthand}${values === undefined ? "" : "+"}${what}${value}`)];
}

function actionOf(values: Values, program: string): string {
  if (typeof values !== "string") return `(${values.join(" ")})`;
  const setting = `{compadd -a _${identifier(program)}_settings}`;
  return { file: "_files", folder: "_files -/", program: "_command_names -e", setting, unknown: " " }[values];
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
