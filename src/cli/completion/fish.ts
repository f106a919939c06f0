import {
  type CompletionFlag,
  type CompletionNode,
  identifier,
  type ScriptWords,
  type Values,
} from "./completion-tree.ts";

/** The script for fish: a line per candidate, under the condition that its command is being typed. */
export function fishScript({ program, nodes, settings }: ScriptWords): string {
  const valued = new Set(nodes.slice(1).flatMap(({ flags }) => flags.flatMap(valuedWords)));
  const own = `__${identifier(program)}`;
  return `# fish completion for ${program}; in ~/.config/fish/config.fish: ${program} completion fish | source
set -g ${own}_paths ${nodes.map(({ path }) => quote(path)).join(" ")}
set -g ${own}_valued ${[...valued].join(" ")}
set -g ${own}_settings ${settings.map(quote).join(" ")}
${engine(own)}
complete -c ${program} -e
complete -c ${program} -f
${nodes.flatMap((node) => linesOf(node, { program, own })).join("\n")}
`;
}

function valuedWords({ name, shorthand, values }: CompletionFlag): string[] {
  if (values === undefined) return [];
  return [`--${name}`, ...(shorthand === undefined ? [] : [`-${shorthand}`])];
}

const engine = (own: string): string => `
# The command that is being typed, and how many arguments it has already.
function ${own}_state
    set -l words (commandline -opc)
    set -e words[1]
    set -l path ''
    set -l count 0
    set -l skip 0
    for word in $words
        if test $skip = 1
            set skip 0
        else if string match -q -- '-*' $word
            contains -- $word $${own}_valued; and set skip 1
        else if test $count = 0; and contains -- (string trim -- "$path $word") $${own}_paths
            set path (string trim -- "$path $word")
        else if test -n "$path"; or test "$word" != help
            set count (math $count + 1)
        end
    end
    echo $path
    echo $count
end

# Whether the command $argv[1] is being typed, with $argv[2] arguments already.
function ${own}_at
    set -l state (${own}_state)
    test "$state[1]" = "$argv[1]"; or return 1
    set -q argv[2]; or return 0
    test "$state[2]" = "$argv[2]"
end

function ${own}_folders
    __fish_complete_directories (commandline -ct)
end
`;

interface Names {
  readonly program: string;
  /** What the names of the script's functions and variables begin with. */
  readonly own: string;
}

function linesOf({ path, commands, flags, arguments: words }: CompletionNode, { program, own }: Names): string[] {
  const at = `complete -c ${program} -n ${quote(`${own}_at "${path}"`)}`;
  const atArgument = (count: number): string => `complete -c ${program} -n ${quote(`${own}_at "${path}" ${count}`)}`;
  return [
    ...commands.map(({ name, summary }) => `${atArgument(0)} -a ${name}${about(summary)}`),
    ...flags.map((flag) => `${at} -l ${flag.name}${short(flag)}${valuesOf(flag.values, own)}${about(flag.help)}`),
    ...words.flatMap((values, count) =>
      values === "unknown" ? [] : [`${atArgument(count)}${argumentsOf(values, own)}`],
    ),
  ];
}

function short({ shorthand }: CompletionFlag): string {
  return shorthand === undefined ? "" : ` -s ${shorthand}`;
}

function about(text: string): string {
  return text === "" ? "" : ` -d ${quote(text)}`;
}

function valuesOf(values: Values | undefined, own: string): string {
  if (values === undefined) return "";
  if (values === "file") return " -r -F";
  return values === "unknown" ? " -x" : ` -x${argumentsOf(values, own)}`;
}

function argumentsOf(values: Values, own: string): string {
  if (typeof values !== "string") return ` -a ${quote(values.join(" "))}`;
  if (values === "file") return " -F";
  const setting = `string join -- \\\\n $${own}_settings`;
  return ` -a '(${{ folder: `${own}_folders`, program: "__fish_complete_command", setting, unknown: "" }[values]})'`;
}

function quote(text: string): string {
  return `'${text.replaceAll(/['\\]/g, "\\$&")}'`;
}
