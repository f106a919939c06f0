/** Unified differences of two texts by line, with three lines around each; empty where they are the same. */
export function lineDiff(before: string, after: string, name: string): string {
  const [left, right] = [before, after].map((text) => text.replace(/\n$/, "").split("\n")) as [string[], string[]];
  const steps = stepsOf(left, right);
  const changes = steps.flatMap(({ mark }, at) => (mark === " " ? [] : [at]));
  if (changes.length === 0) return "";
  const lines = [`--- ${name}`, `+++ ${name} (injected)`];
  for (const [first, last] of hunksOf(changes, steps.length)) {
    const hunk = steps.slice(first, last);
    const count = (mark: string): number => hunk.filter((step) => step.mark !== mark).length;
    const start = (mark: string): number => steps.slice(0, first).filter((step) => step.mark !== mark).length + 1;
    lines.push(`@@ -${start("+")},${count("+")} +${start("-")},${count("-")} @@`);
    lines.push(...hunk.map(({ mark, line }) => `${mark}${line}`));
  }
  return `${lines.join("\n")}\n`;
}

const CONTEXT = 3;

interface Step {
  readonly mark: " " | "-" | "+";
  readonly line: string;
}

/** From the first to behind the last step, of changes so near to each other that their contexts touch. */
function hunksOf(changes: readonly number[], end: number): readonly (readonly [first: number, last: number])[] {
  const hunks: [number, number][] = [];
  for (const at of changes) {
    const [first, last] = [Math.max(0, at - CONTEXT), Math.min(end, at + CONTEXT + 1)];
    const previous = hunks.at(-1);
    if (previous !== undefined && first <= previous[1]) previous[1] = last;
    else hunks.push([first, last]);
  }
  return hunks;
}

/** What both begin and end with is left alone; between them the longest common subsequence is what stays. */
function stepsOf(left: readonly string[], right: readonly string[]): readonly Step[] {
  let head = 0;
  while (head < left.length && head < right.length && left[head] === right[head]) head++;
  let tail = 0;
  const most = Math.min(left.length, right.length) - head;
  while (tail < most && left.at(-1 - tail) === right.at(-1 - tail)) tail++;
  const same = (line: string): Step => ({ mark: " ", line });
  return [
    ...left.slice(0, head).map(same),
    ...middle(left.slice(head, left.length - tail), right.slice(head, right.length - tail)),
    ...left.slice(left.length - tail).map(same),
  ];
}

/** Beyond this product of lines the two are shown one behind the other. */
const MOST_CELLS = 16_000_000;

function middle(left: readonly string[], right: readonly string[]): readonly Step[] {
  const removed = (line: string): Step => ({ mark: "-", line });
  const added = (line: string): Step => ({ mark: "+", line });
  if (left.length * right.length > MOST_CELLS) return [...left.map(removed), ...right.map(added)];
  const width = right.length + 1;
  const longest = new Uint16Array((left.length + 1) * width); // of what is left of both from here on
  for (let i = left.length - 1; i >= 0; i--) {
    for (let j = right.length - 1; j >= 0; j--) {
      const at = i * width + j;
      longest[at] =
        left[i] === right[j]
          ? (longest[at + width + 1] ?? 0) + 1
          : Math.max(longest[at + width] ?? 0, longest[at + 1] ?? 0);
    }
  }
  const steps: Step[] = [];
  let [i, j] = [0, 0];
  while (i < left.length && j < right.length) {
    const at = i * width + j;
    if (left[i] === right[j]) {
      steps.push({ mark: " ", line: left[i] ?? "" });
      [i, j] = [i + 1, j + 1];
    } else if ((longest[at + width] ?? 0) >= (longest[at + 1] ?? 0)) steps.push(removed(left[i++] ?? ""));
    else steps.push(added(right[j++] ?? ""));
  }
  return [...steps, ...left.slice(i).map(removed), ...right.slice(j).map(added)];
}
