/** Some hundreds more, and the YAML library's recursion ends the process: V8 cannot compile a regular expression any more. */
export const MOST_YAML_DEPTH = 200;

/**
 * The offset at which more than `most` levels are open, by indentation, dashes and brackets; undefined when there is none. A
 * bracket inside of a text is counted, too, which does no harm: nobody writes so many.
 */
export function tooDeepAt(text: string, most: number): number | undefined {
  const indents: number[] = [];
  let brackets = 0;
  for (const { 0: line, index } of text.matchAll(/[^\n]+/g)) {
    const [lead = "", dashes = ""] = /^ *((?:[-?:][ \t]+)*)/.exec(line) ?? [];
    const indent = lead.length - dashes.length;
    while ((indents.at(-1) ?? -1) >= indent) indents.pop();
    indents.push(indent);
    const levels = indents.length + longestRun(line);
    if (levels > most) return index;
    for (const { 0: token, index: at } of line.matchAll(/[[{\]}]/g)) {
      brackets = Math.max(0, brackets + (token === "[" || token === "{" ? 1 : -1));
      if (levels + brackets > most) return index + at;
    }
  }
  return undefined;
}

/** Of indicators behind each other: `- - -` and `a : : :` open a level with each, plus one for what follows. */
function longestRun(line: string): number {
  const runs = line.match(/(?:[-?:][ \t]+)+/g) ?? [];
  return runs.reduce((most, run) => Math.max(most, 1 + run.trim().split(/[ \t]+/).length), 1);
}
