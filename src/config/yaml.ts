import { isAlias, isMap, isNode, isScalar, isSeq, LineCounter, type Node, type Pair, parseAllDocuments } from "yaml";
import { describeError } from "../base/index.ts";
import type { Path } from "../proto/mesh/index.ts";
import type { DocumentReading } from "./parsed-document.ts";
import type { Origin } from "./problem.ts";
import { resolvePlain } from "./yaml-scalar.ts";

/**
 * Reads YAML 1.1 the way the reference does before JSON decoding: yes/no/on/off are booleans, 010 is octal, dates and
 * 12:30:45 stay text, keys become text, the last of duplicate keys wins, only the first document counts. The library
 * gives the tree and its positions; what an unquoted scalar means is our own table.
 */
export function readYaml(text: string, source: string): DocumentReading {
  const lines = new LineCounter();
  const at = (offset: number | undefined): Origin => {
    const { line, col } = lines.linePos(offset ?? 0);
    return { source, line, column: col };
  };
  if (text.startsWith("\t")) return { ok: false, origin: { source, line: 1, column: 1 }, message: LEADING_TAB };
  let reading: TreeReader | undefined;
  try {
    const [document] = parseAllDocuments(text, {
      version: "1.1",
      schema: "failsafe",
      lineCounter: lines,
      uniqueKeys: false,
      logLevel: "silent",
    });
    if (document === undefined) return { ok: true, document: { tree: undefined, locate: () => ({ source }) } };
    const [error] = document.errors;
    if (error !== undefined) {
      return { ok: false, origin: at(error.pos[0]), message: error.message.split(" at line ")[0] ?? error.message };
    }
    reading = new TreeReader();
    const tree = reading.read(document.contents) ?? undefined;
    return { ok: true, document: { tree, locate: (path) => at(offsetOf(document.contents, path)) } };
  } catch (error) {
    const message = error instanceof RangeError ? "is nested too deeply" : describeError(error);
    return { ok: false, origin: at(reading?.offset), message };
  }
}

const LEADING_TAB = "found a TAB where a token should begin";

/** Turns nodes into JSON; a node that several aliases name is converted once and shared. */
class TreeReader {
  /** Where the node that is being read begins. */
  offset = 0;
  readonly #anchors = new Map<string, Node>();
  readonly #done = new Map<Node, unknown>();
  readonly #open = new Set<Node>();

  read(node: unknown): unknown {
    if (!isNode(node)) return null;
    if (isAlias(node)) return this.#readAlias(node.source);
    if (this.#done.has(node)) return this.#done.get(node);
    this.offset = node.range?.[0] ?? this.offset;
    if (node.anchor !== undefined) this.#anchors.set(node.anchor, node);
    this.#open.add(node);
    const value = this.#readContent(node);
    this.#open.delete(node);
    this.#done.set(node, value);
    return value;
  }

  #readAlias(name: string): unknown {
    const node = this.#anchors.get(name);
    if (node === undefined) throw new Error(`unknown anchor "${name}"`);
    if (this.#open.has(node)) throw new Error(`anchor "${name}" value contains itself`);
    return this.read(node);
  }

  #readContent(node: Node): unknown {
    if (isSeq(node)) return node.items.map((item) => this.read(item));
    if (isMap(node)) return this.#readMap(node.items);
    return isScalar(node) ? scalarValue(node) : null;
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
  if (tag.endsWith(":binary")) return Buffer.from(text, "base64").toString("utf8");
  const [, kind] = /:(int|float|bool|null)$/.exec(tag) ?? [];
  const resolved = kind === undefined ? text : resolvePlain(text);
  if (typeof resolved === "string" && kind !== undefined) throw new Error(`cannot decode "${text}" as a !!${kind}`);
  return resolved;
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
