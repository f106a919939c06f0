import { isAlias, isMap, isNode, isScalar, isSeq, type Node, type Pair } from "yaml";
import { describeError, MOST_YAML_DEPTH, tooDeepAt } from "../base/index.ts";
import type { Path } from "../istio/mesh/index.ts";
import type { DocumentReading } from "./parsed-document.ts";
import type { Origin } from "./problem.ts";
import { parseFirstDocument } from "./yaml-first-document.ts";
import { resolvePlain } from "./yaml-scalar.ts";

/**
 * Reads YAML 1.1 the way the reference does before JSON decoding: yes/no/on/off are booleans, 010 is octal, dates and
 * 12:30:45 stay text, keys become text, the last of duplicate keys wins. Only the first document counts, and what cannot
 * belong to it is ignored. The library gives the tree and its positions; what an unquoted scalar means is our own
 * table. Source: sigs.k8s.io/yaml, go-yaml v2.
 */
export function readYaml(text: string, source: string): DocumentReading {
  if (text.startsWith("\t")) return { ok: false, origin: { source, line: 1, column: 1 }, message: LEADING_TAB };
  if (LEADING_END.test(text)) return { ok: false, origin: { source, line: 1, column: 1 }, message: NO_CONTENT };
  const deep = tooDeepAt(text, MOST_YAML_DEPTH);
  if (deep !== undefined) {
    const before = text.slice(0, deep).split("\n");
    const place = { line: before.length, column: (before.at(-1) ?? "").length + 1 };
    return { ok: false, origin: { source, ...place }, message: TOO_DEEP };
  }
  let at = (_offset: number | undefined): Origin => ({ source, line: 1, column: 1 });
  let reading: TreeReader | undefined;
  try {
    const parsed = parseFirstDocument(text);
    at = (offset) => ({ source, ...parsed.place(offset ?? 0) });
    const { document, error } = parsed;
    if (document === undefined) return { ok: true, document: { tree: undefined, locate: () => ({ source }) } };
    if (error !== undefined) {
      const message = error.code === "RESOURCE_EXHAUSTION" ? TOO_DEEP : error.message.split(" at line ")[0];
      return { ok: false, origin: at(error.pos[0]), message: message ?? error.message };
    }
    reading = new TreeReader(parsed.openEnd);
    const tree = reading.read(document.contents) ?? undefined;
    const locate = (path: Path): Origin => at(offsetOf(document.contents, path));
    const rest = parsed.rest === undefined ? undefined : at(parsed.rest);
    return { ok: true, document: { tree, locate, rest } };
  } catch (error) {
    const message = error instanceof RangeError ? TOO_DEEP : describeError(error);
    return { ok: false, origin: at(reading?.offset), message };
  }
}

const LEADING_TAB = "found a TAB where a token should begin";
/** `...` ends a document that never began. */
const LEADING_END = /^\uFEFF?(?:[ \t]*(?:#.*)?\r?\n)*\.\.\.(?:\s|$)/;
const NO_CONTENT = "found the end of a document before its beginning";
const TOO_DEEP = "is nested too deeply";

/** Whoever prints a document writes shared nodes again and again; a few lines can be more than any memory. */
const MOST_ALIASED = 1_000_000;

/** Turns nodes into JSON; a node that several aliases name is converted once and shared. */
class TreeReader {
  /** Where the node that is being read begins. */
  offset = 0;
  readonly #anchors = new Map<string, Node>();
  readonly #done = new Map<Node, { readonly value: unknown; readonly size: number }>();
  readonly #open = new Set<Node>();
  readonly #openEnd: number | undefined;
  /** Nodes so far, one that several aliases name as often as it is named. */
  #count = 0;

  constructor(openEnd: number | undefined) {
    this.#openEnd = openEnd;
  }

  read(node: unknown): unknown {
    if (!isNode(node)) return null;
    if (isAlias(node)) return this.#readAlias(node.source);
    const before = this.#count++;
    this.offset = node.range?.[0] ?? this.offset;
    if (node.anchor !== undefined) this.#anchors.set(node.anchor, node);
    this.#open.add(node);
    const value = this.#readContent(node);
    this.#open.delete(node);
    this.#done.set(node, { value, size: this.#count - before });
    return value;
  }

  #readAlias(name: string): unknown {
    const node = this.#anchors.get(name);
    if (node === undefined) throw new Error(`unknown anchor "${name}"`);
    if (this.#open.has(node)) throw new Error(`anchor "${name}" value contains itself`);
    const done = this.#done.get(node);
    if (done === undefined) return this.read(node);
    this.#count += done.size;
    if (this.#count > MOST_ALIASED) throw new Error("document contains excessive aliasing");
    return done.value;
  }

  #readContent(node: Node): unknown {
    if (isSeq(node)) return node.items.map((item) => this.read(item));
    if (isMap(node)) return this.#readMap(node.items);
    if (!isScalar(node)) return null;
    const value = scalarValue(node);
    const endsOpen = node.range?.[1] === this.#openEnd && node.type?.startsWith("BLOCK_") === true;
    return endsOpen && typeof value === "string" ? value.replace(/\n$/, "") : value;
  }

  #readMap(items: readonly Pair[]): object {
    const entries: [string, unknown][] = [];
    for (const { key, value } of items) {
      if (isMergeKey(key)) entries.push(...this.#mergedEntries(value));
      else entries.push([this.#keyText(key), this.read(value)]);
    }
    return Object.fromEntries(entries); // the later one wins, a merged one too; safe also under the name __proto__
  }

  /** Of several merged maps the first wins. */
  #mergedEntries(node: unknown): [string, unknown][] {
    const value = this.read(node);
    const maps: unknown[] = Array.isArray(value) ? value.toReversed() : [value];
    return maps.flatMap((map) => {
      if (typeof map === "object" && map !== null && !Array.isArray(map)) return Object.entries(map);
      throw new Error("map merge requires map or sequence of maps as the value");
    });
  }

  #keyText(key: unknown): string {
    const value = this.read(key);
    if (value === null) throw new Error("a key is empty, wanted a name");
    if (typeof value === "object") throw new Error("a key is a list or mapping, wanted a name");
    return String(value);
  }
}

interface ScalarLike {
  readonly value?: unknown;
  readonly tag?: string;
  readonly type?: string;
}

function scalarValue({ value, tag, type }: ScalarLike): string | number | bigint | boolean | null {
  const text = typeof value === "string" ? value : "";
  if (tag === undefined) return type === "PLAIN" ? resolvePlain(text) : text;
  if (tag.endsWith(":binary")) return decodeBase64(text);
  const [, kind] = /:(int|float|bool|null)$/.exec(tag) ?? [];
  const resolved = kind === undefined ? text : resolvePlain(text);
  if (typeof resolved === "string" && kind !== undefined) throw new Error(`cannot decode "${text}" as a !!${kind}`);
  return resolved;
}

function decodeBase64(text: string): string {
  const isWell = /^(?:[A-Za-z\d+/]{4})*(?:[A-Za-z\d+/]{2}==|[A-Za-z\d+/]{3}=)?$/.test(text.replaceAll(/[\r\n]/g, ""));
  if (!isWell) throw new Error("!!binary value contains invalid base64 data");
  return Buffer.from(text, "base64").toString("utf8");
}

function isMergeKey(key: unknown): boolean {
  return isScalar(key) && key.value === "<<" && key.type === "PLAIN";
}

/** Offset of the node at the path; where the path leaves the document, of the last node on the way. */
function offsetOf(root: Node | null, path: Path): number | undefined {
  let node: unknown = root;
  let offset = root?.range?.[0];
  for (const step of path) {
    if (isMap(node)) {
      const pair = [...node.items].reverse().find(({ key }) => keyMatches(key, step));
      if (pair === undefined) break;
      node = pair.value;
      offset = (isScalar(pair.key) ? pair.key.range?.[0] : undefined) ?? offset;
      if (isScalar(node) && node.value !== "") offset = node.range?.[0] ?? offset;
    } else if (isSeq(node)) {
      node = node.items[Number(step)];
      if (isNode(node)) offset = node.range?.[0] ?? offset;
    } else {
      break;
    }
  }
  return offset;
}

function keyMatches(key: unknown, step: string | number): boolean {
  return isScalar(key) && String(scalarValue(key as ScalarLike)) === String(step);
}
