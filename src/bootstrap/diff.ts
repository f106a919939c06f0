import type { JsonValue } from "../istio/mesh/index.ts";

/** One place where two documents differ; `before` or `after` is absent where the value is. */
export interface Difference {
  /** For example `static_resources.clusters[4].name`. */
  readonly path: string;
  readonly before?: JsonValue;
  readonly after?: JsonValue;
}

/**
 * Differences by path, in the order of the first document; list items with a `name` are matched by it. Where the order of
 * a list counts, as that of filters does, another one is a difference at `path[order]`.
 */
export function diffByPath(before: JsonValue, after: JsonValue, path = ""): Difference[] {
  if (isObject(before) && isObject(after))
    return diffMembers(before, after, (key) => (path === "" ? key : `${path}.${key}`));
  if (Array.isArray(before) && Array.isArray(after)) {
    const [left, right] = [byName(before), byName(after)];
    return [...diffMembers(left, right, (key) => `${path}[${key}]`), ...diffOrder(left, right, path)];
  }
  return JSON.stringify(before) === JSON.stringify(after) ? [] : [{ path, before, after }];
}

/** One line: `+` added, `-` removed, `~` changed. */
export function describeDifference({ path, before, after }: Difference): string {
  if (before === undefined) return `+ ${path}: ${excerpt(JSON.stringify(after), 0)}`;
  if (after === undefined) return `- ${path}: ${excerpt(JSON.stringify(before), 0)}`;
  const [left, right] = [JSON.stringify(before), JSON.stringify(after)];
  const at = Math.max(0, firstDifference(left, right) - CONTEXT);
  return `~ ${path}: ${excerpt(left, at)} -> ${excerpt(right, at)}`;
}

/** Characters of a value that are shown, and how many of them come before what differs. */
const MOST_SHOWN = 200;
const CONTEXT = 60;

/** The value, or where it is too long to be read a part that begins at `from`. */
function excerpt(text: string, from: number): string {
  if (text.length <= MOST_SHOWN) return text;
  const rest = text.length > from + MOST_SHOWN ? "…" : "";
  return `${from > 0 ? "…" : ""}${text.slice(from, from + MOST_SHOWN)}${rest} (${text.length} characters)`;
}

function firstDifference(left: string, right: string): number {
  let at = 0;
  while (at < left.length && left[at] === right[at]) at++;
  return at;
}

type Members = Readonly<Record<string, JsonValue>>;

function diffMembers(before: Members, after: Members, pathOf: (key: string) => string): Difference[] {
  const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...keys].flatMap((key): Difference[] => {
    const [left, right] = [before, after].map((one) => (Object.hasOwn(one, key) ? one[key] : undefined));
    if (left === undefined && right !== undefined) return [{ path: pathOf(key), after: right }];
    if (right === undefined && left !== undefined) return [{ path: pathOf(key), before: left }];
    return left === undefined || right === undefined ? [] : diffByPath(left, right, pathOf(key));
  });
}

/** Lists whose items Envoy looks up by name. */
const UNORDERED =
  /(^|\.)(clusters|listeners|secrets|virtual_hosts|bootstrap_extensions|resource_monitors|stats_sinks)$/;

/** Of the items that both have. */
function diffOrder(before: Members, after: Members, path: string): Difference[] {
  if (UNORDERED.test(path)) return [];
  const left = Object.keys(before).filter((key) => Object.hasOwn(after, key));
  const right = Object.keys(after).filter((key) => Object.hasOwn(before, key));
  return left.join("\n") === right.join("\n") ? [] : [{ path: `${path}[order]`, before: left, after: right }];
}

/** A list by the names of its items where all have distinct ones, else by position. */
function byName(list: readonly JsonValue[]): Members {
  const names = list.map((item) => (isObject(item) && typeof item.name === "string" ? item.name : undefined));
  const isNamed = new Set(names).size === list.length && !names.includes(undefined);
  return Object.fromEntries(list.map((item, at) => [isNamed ? `${names[at]}` : String(at), item]));
}

function isObject(value: JsonValue): value is { readonly [key: string]: JsonValue } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
