import { isSame, isTree, type Tree } from "../pod/json.ts";

/**
 * Brings into `text`, an object as somebody wrote it, what is different between `before` and `after`, its canonical forms.
 * What is the same in both stays as it was written.
 */
export function layChanges(text: Tree, before: Tree, after: Tree): Tree {
  const result: Record<string, unknown> = { ...text };
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const [left, right] = [before[key], after[key]];
    if (isSame(left, right)) continue;
    if (right === undefined) delete result[key];
    else result[key] = changed(text[key], left, right);
  }
  return result;
}

function changed(text: unknown, before: unknown, after: unknown): unknown {
  if (isTree(text) && isTree(before) && isTree(after)) return layChanges(text, before, after);
  if (!Array.isArray(text) || !Array.isArray(before) || !Array.isArray(after)) return after;
  return after.map((item) => {
    const at = before.findIndex((one) => isSameItem(one, item));
    return at < 0 || text.length !== before.length
      ? item
      : isSame(before[at], item)
        ? text[at]
        : changed(text[at], before[at], item);
  });
}

function isSameItem(a: unknown, b: unknown): boolean {
  if (isTree(a) && isTree(b) && a.name !== undefined) return a.name === b.name;
  return isSame(a, b);
}
