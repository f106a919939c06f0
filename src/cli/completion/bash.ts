import {
  type CompletionFlag,
  type CompletionNode,
  identifier,
  type ScriptWords,
  type Values,
} from "./completion-tree.ts";

/**
 * The script for bash 3.2 and newer. It knows everything by itself: completing starts no process. A table has, for each
 * command, its sub-commands, its flags (`--output=yaml|json`), and the values of its arguments; `@` marks kinds of values.
 */
export function bashScript({ program, nodes, settings }: ScriptWords): string {
  const own = `_${identifier(program)}`;
  return `# bash completion for ${program}; in ~/.bashrc: source <(${program} completion bash)
${own}_settings='${settings.join(" ")}'

# Sets subs, flags and args for the command $1.
${own}_table() {
  case $1 in
${nodes.map(tableRow).join("\n")}
  esac
}
${engine(own, program)}`;
}

function tableRow({ path, commands, flags, arguments: words, isProgram }: CompletionNode): string {
  const names = commands.map(({ name }) => name).join(" ");
  const args = [...words.map(encode), ...(isProgram ? ["@rest"] : [])].join(" ");
  return `  '${path}') subs='${names}' flags='${flags.flatMap(flagWords).join(" ")}' args='${args}' ;;`;
}

function flagWords({ name, shorthand, values }: CompletionFlag): string[] {
  const value = values === undefined ? "" : `=${encode(values)}`;
  return [`--${name}${value}`, ...(shorthand === undefined ? [] : [`-${shorthand}${value}`])];
}

function encode(values: Values): string {
  return typeof values === "string" ? `@${values}` : values.join("|");
}

const engine = (own: string, program: string): string => `
# Sets kind to what the value of the flag $1 may be; fails for a flag without value.
${own}_value() {
  local entry
  for entry in $flags; do
    case $entry in "$1="*) kind=\${entry#*=}; return 0 ;; esac
  done
  return 1
}

# Adds the candidates of a kind that begin with $cur.
${own}_offer() {
  local IFS=$'\\n'
  case $1 in
  @file|@rest) compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -f -- "$cur")) ;;
  @folder) compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -d -- "$cur")) ;;
  @program) COMPREPLY+=($(compgen -c -- "$cur")) ;;
  @setting) COMPREPLY+=($(IFS=' '; compgen -W "$${own}_settings" -- "$cur")) ;;
  @*) ;;
  *) COMPREPLY+=($(IFS='|'; compgen -W "$1" -- "$cur")) ;;
  esac
}

${own}() {
  local IFS=$' \\t\\n' path='' subs flags args cur word kind='' glued='' ended='' count=0 i last
  local -a words=() values=()
  # readline makes "=" a word of its own: it belongs to what stands around it
  for ((i = 1; i <= COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    last=$((\${#words[@]} - 1))
    if [[ $last -ge 0 && ( -n $glued || $word == = ) ]]; then
      words[last]+=$word
    else
      words+=("$word")
    fi
    [[ $word == = ]] && glued=1 || glued=''
  done
  last=$((\${#words[@]} - 1))
  cur=\${words[last]}
  COMPREPLY=()

  ${own}_table ''
  for ((i = 0; i < last; i++)); do
    word=\${words[i]}
    kind=''
    if [[ -z $ended && $word == -- ]]; then
      ended=1
    elif [[ -z $ended && $word == -* ]]; then
      if [[ $word != *=* ]] && ${own}_value "$word"; then i=$((i + 1)); fi
    elif [[ $count -eq 0 && -z $ended && -z $path && $word == help ]]; then
      :
    elif [[ $count -eq 0 && -z $ended && " $subs " == *" $word "* ]]; then
      path=\${path:+$path }$word
      ${own}_table "$path"
    else
      count=$((count + 1))
      [[ $args == *@rest ]] && ended=1
    fi
  done
  [[ $i -gt $last ]] || kind='' # a flag whose value stands there already

  values=($args)
  if [[ -n $kind ]]; then
    ${own}_offer "$kind"
  elif [[ -z $ended && $cur == --*=* ]]; then
    word=\${cur%%=*}
    cur=\${cur#*=}
    ${own}_value "$word" && ${own}_offer "$kind"
    # where readline does not split at "=", it replaces the whole word
    [[ \${COMP_WORDS[COMP_CWORD]} == "$word="* ]] && COMPREPLY=("\${COMPREPLY[@]/#/$word=}")
  elif [[ -z $ended && $cur == -* ]]; then
    for word in $flags; do
      word=\${word%%=*}
      [[ $word == "$cur"* ]] && COMPREPLY+=("$word")
    done
  else
    [[ $count -eq 0 && -z $ended ]] && COMPREPLY+=($(compgen -W "$subs" -- "$cur"))
    if [[ $args == *@rest && $count -gt 0 ]]; then
      ${own}_offer @rest
    elif [[ $count -lt \${#values[@]} ]]; then
      ${own}_offer "\${values[count]}"
    fi
  fi
  return 0
}

complete -F ${own} ${program}
`;
