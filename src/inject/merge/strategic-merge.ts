import { isSame, isTree, type Tree } from "../pod/json.ts";
import { fieldsOf, type PodField } from "../pod/pod-types.ts";

/**
 * Lays a patch over an object as Kubernetes' strategic merge does: mappings merge, lists with a merge key merge item by item,
 * other lists and values replace, null removes, and the directives `$patch`, `$retainKeys` and `$setElementOrder` hold.
 * `type` is one of `pod-types.ts`. Source: kubernetes/apimachinery pkg/util/strategicpatch/patch.go.
 */
export function strategicMerge(type: string | undefined, original: Tree, patch: Tree): Tree {
  const directive = patch.$patch;
  if (directive === "replace") return without(patch, "$patch");
  if (directive === "delete") return {};
  if (directive !== undefined) throw new Error(`found $patch: ${JSON.stringify(directive)}, wanted replace or delete`);
  const result: Record<string, unknown> = retained(original, patch.$retainKeys);
  for (const [key, value] of Object.entries(patch)) {
    if (key === "$retainKeys" || key.startsWith(ORDER)) continue;
    if (key.startsWith(REMOVAL)) removeScalars(result, key.slice(REMOVAL.length), value);
    else if (value === null) delete result[key];
    else result[key] = mergeField(fieldOf(type, key), result[key], value, patch[`${ORDER}${key}`]);
    if (result[key] === undefined) delete result[key];
  }
  return result;
}

const ORDER = "$setElementOrder/";
const REMOVAL = "$deleteFromPrimitiveList/";

function fieldOf(type: string | undefined, key: string): PodField | undefined {
  return type === undefined ? undefined : fieldsOf(type).find(({ name }) => name === key);
}

function mergeField(field: PodField | undefined, before: unknown, patch: unknown, order: unknown): unknown {
  if (isTree(before) && isTree(patch)) return strategicMerge(field?.type, before, patch);
  if (!Array.isArray(before) || !Array.isArray(patch) || field?.mergeKey === undefined) return withoutDirectives(patch);
  if (field.mergeKey === "") return [...new Set([...before, ...patch])];
  return mergeList(field.type, field.mergeKey, { before, patch, order });
}

interface Lists {
  readonly before: readonly unknown[];
  readonly patch: readonly unknown[];
  readonly order: unknown;
}

function mergeList(type: string | undefined, key: string, { before, patch, order }: Lists): unknown[] {
  const items = patch.map((item) => {
    if (!isTree(item) || item[key] === undefined) throw new Error(`an item of a list has no "${key}" to merge it by`);
    return item;
  });
  const plain = items.filter(({ $patch }) => $patch === undefined);
  if (items.some(({ $patch }) => $patch === "replace")) return plain;
  const removed = items.filter(({ $patch }) => $patch === "delete").map((item) => item[key]);
  let merged: readonly unknown[] = before.filter((item) => !isTree(item) || !removed.includes(item[key]));
  for (const item of plain) {
    const at = merged.findIndex((one) => isTree(one) && one[key] === item[key]);
    const found = merged[at];
    merged = isTree(found) ? merged.with(at, strategicMerge(type, found, item)) : [...merged, item];
  }
  const wanted = (Array.isArray(order) ? order : plain).map((item) => (isTree(item) ? item[key] : item));
  return inOrder(merged, { key, wanted, before });
}

interface Order {
  readonly key: string;
  /** Keys in the order of the patch. */
  readonly wanted: readonly unknown[];
  readonly before: readonly unknown[];
}

/** Items of the patch in its order; the others stay before those that they stood before, as far as that can be. */
function inOrder(merged: readonly unknown[], { key, wanted, before }: Order): unknown[] {
  const keyOf = (item: unknown): unknown => (isTree(item) ? item[key] : undefined);
  const rank = (item: unknown): number => before.findIndex((one) => keyOf(one) === keyOf(item));
  const isWanted = (item: unknown): boolean => wanted.includes(keyOf(item));
  const ours = merged.filter(isWanted).sort((a, b) => wanted.indexOf(keyOf(a)) - wanted.indexOf(keyOf(b)));
  const theirs = merged.filter((item) => !isWanted(item));
  const result: unknown[] = [];
  while (ours.length > 0 && theirs.length > 0) {
    const [left, right] = [rank(theirs[0]), rank(ours[0])];
    result.push(left >= 0 && right >= 0 && left < right ? theirs.shift() : ours.shift());
  }
  return [...result, ...ours, ...theirs];
}

function retained(original: Tree, keys: unknown): Record<string, unknown> {
  if (!Array.isArray(keys)) return { ...original };
  return Object.fromEntries(Object.entries(original).filter(([key]) => keys.includes(key)));
}

function removeScalars(result: Record<string, unknown>, key: string, values: unknown): void {
  const list = result[key];
  if (!Array.isArray(list) || !Array.isArray(values)) return;
  result[key] = list.filter((item) => !values.some((value) => isSame(item, value)));
}

function withoutDirectives(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutDirectives).filter((item) => item !== undefined);
  if (!isTree(value)) return value;
  if (value.$patch !== undefined) return undefined;
  const entries = Object.entries(value).flatMap(([key, item]) => {
    const kept = item === null ? undefined : withoutDirectives(item);
    return kept === undefined ? [] : [[key, kept]];
  });
  return Object.fromEntries(entries);
}

function without(tree: Tree, key: string): Tree {
  return Object.fromEntries(Object.entries(tree).filter(([name]) => name !== key));
}
