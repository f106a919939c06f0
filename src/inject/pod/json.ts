/** A mapping of JSON. */
export type Tree = Readonly<Record<string, unknown>>;

export function isTree(value: unknown): value is Tree {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The value where it is a mapping, else an empty one. */
export function treeOf(value: unknown): Tree {
  return isTree(value) ? value : {};
}

/** The mappings of a list; none where it is no list. */
export function treesOf(value: unknown): readonly Tree[] {
  return Array.isArray(value) ? value.filter(isTree) : [];
}

/** What is text in a mapping of labels or annotations. */
export function textsOf(value: unknown): Readonly<Record<string, string>> {
  const entries = Object.entries(treeOf(value)).flatMap(([key, text]) => (text === null ? [] : [[key, String(text)]]));
  return Object.fromEntries(entries);
}

export function isSame(a: unknown, b: unknown): boolean {
  return a === b || JSON.stringify(sorted(a)) === JSON.stringify(sorted(b));
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isTree(value)) return value;
  const entries = Object.entries(value).map(([key, item]) => [key, sorted(item)] as const);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}
