import type { CompletionFlag, CompletionNode, Values } from "./completion-tree.ts";

/** The script for fish: a line per candidate, under the condition that its command is being typed. */
export function fishScript(nodes: readonly CompletionNode[], settings: readonly string[]): string {
  const valued = new Set(nodes.slice(1).flatMap(({ flags }) => flags.flatMap(valuedWords)));
  return `# fish completion for pilotboat; in ~/.config/fish/config.fish: pilotboat completion fish | source
set -g __pilotboat_paths ${nodes.map(({ path }) => quote(path)).join(" ")}
set -g __pilotboat_valued ${[...valued].join(" ")}
set -g __pilotboat_settings ${settings.map(quote).join(" ")}
${ENGINE}
complete -c pilotboat -e
complete -c pilotboat -f
${nodes.flatMap(linesOf).join("\n")}
`;
}

function valuedWords({ name, shorthand, values }: CompletionFlag): string[] {
  if (values === undefined) return [];
  return [`--${name}`, ...(shorthand === undefined ? [] : [`-${shorthand}`])];
}

const ENGINE = `
# The command that is being typed, and how many arguments it has already.
function __pilotboat_state
    set -l words (commandline -opc)
    set -e words[1]
    set -l path ''
    set -l count 0
    set -l skip 0
    for word in $words
        if test $skip = 1
            set skip 0
        else if string match -q -- '-*' $word
            contains -- $word $__pilotboat_valued; and set skip 1
        else if test $count = 0; and contains -- (string trim -- "$path $word") $__pilotboat_paths
            set path (string trim -- "$path $word")
        else if test -n "$path"; or test "$word" != help
            set count (math $count + 1)
        end
    end
    echo $path
    echo $count
end

# Whether the command $argv[1] is being typed, with $argv[2] arguments already.
function __pilotboat_at
    set -l state (__pilotboat_state)
    test "$state[1]" = "$argv[1]"; or return 1
    set -q argv[2]; or return 0
    test "$state[2]" = "$argv[2]"
end

function __pilotboat_folders
    __fish_complete_directories (commandline -ct)
end
`;

function linesOf({ path, commands, flags, arguments: words }: CompletionNode): string[] {
  const at = `complete -c pilotboat -n ${quote(`__pilotboat_at "${path}"`)}`;
  const atArgument = (count: number): string =>
    `complete -c pilotboat -n ${quote(`__pilotboat_at "${path}" ${count}`)}`;
  return [
    ...commands.map(({ name, summary }) => `${atArgument(0)} -a ${name} -d ${quote(summary)}`),
    ...flags.map((flag) => `${at} -l ${flag.name}${short(flag)}${valuesOf(flag.values)} -d ${quote(flag.help)}`),
    ...words.flatMap((values, count) => (values === "unknown" ? [] : [`${atArgument(count)}${argumentsOf(values)}`])),
  ];
}

function short({ shorthand }: CompletionFlag): string {
  return shorthand === undefined ? "" : ` -s ${shorthand}`;
}

function valuesOf(values: Values | undefined): string {
  if (values === undefined) return "";
  if (values === "file") return " -r -F";
  return values === "unknown" ? " -x" : ` -x${argumentsOf(values)}`;
}

function argumentsOf(values: Values): string {
  if (typeof values !== "string") return ` -a ${quote(values.join(" "))}`;
  if (values === "file") return " -F";
  return ` -a '(${{ folder: "__pilotboat_folders", program: "__fish_complete_command", setting: SETTINGS, unknown: "" }[values]})'`;
}

const SETTINGS = "string join -- \\\\n $__pilotboat_settings";

function quote(text: string): string {
  return `'${text.replaceAll(/['\\]/g, "\\$&")}'`;
}
