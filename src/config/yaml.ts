import { isAlias, isMap, isNode, isScalar, isSeq, LineCounter, type Node, parseAllDocuments, type Scalar } from "yaml";
import type { Path } from "../proto/mesh/index.ts";
import type { DocumentReading } from "./parsed-document.ts";
import type { Origin } from "./problem.ts";

/**
 * Reads YAML 1.1 the way Go's ghodss/yaml does before JSON decoding: yes/no/on/off are booleans, 010 is octal, dates
 * and 12:30:45 stay text, keys become text, the last of duplicate keys wins, only the first document counts.
 */
export function readYaml(text: string, source: string): DocumentReading {
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, {
    version: "1.1",
    lineCounter: lines,
    uniqueKeys: false,
    merge: true,
    intAsBigInt: false,
    resolveKnownTags: false,
    logLevel: "silent",
    customTags: (tags) =>
      tags.filter((tag) => typeof tag === "string" || !/(timestamp|binary|set|omap|pairs)$/.test(tag.tag ?? "")),
  });
  const [document] = Array.isArray(documents) ? documents : [];
  if (document === undefined) return { ok: true, document: { tree: undefined, locate: () => ({ source }) } };
  const at = (offset: number | undefined): Origin => {
    const { line, col } = lines.linePos(offset ?? 0);
    return { source, line, column: col };
  };
  const [error] = document.errors;
  if (error !== undefined) {
    return { ok: false, origin: at(error.pos[0]), message: error.message.split(" at line ")[0] ?? error.message };
  }
  const contents = document.contents as Node | null;
  const tree = toJson(contents, (alias) =>
    isAlias(alias) ? (alias.resolve(document) as Node | undefined) : undefined,
  );
  return { ok: true, document: { tree: tree ?? undefined, locate: (path) => at(offsetOf(contents, path)) } };
}

type Resolve = (node: Node) => Node | undefined;

function toJson(node: unknown, resolve: Resolve): unknown {
  if (!isNode(node)) return null;
  if (isAlias(node)) return toJson(resolve(node), resolve);
  if (isSeq(node)) return node.items.map((item) => toJson(item, resolve));
  if (isMap(node)) return mapToJson(node.items, resolve);
  return isScalar(node) ? scalarToJson(node) : null;
}

function mapToJson(items: readonly { readonly key: unknown; readonly value: unknown }[], resolve: Resolve): object {
  const merged: Record<string, unknown> = {};
  const own: Record<string, unknown> = {};
  for (const { key, value } of items) {
    const json = toJson(value, resolve);
    if (isScalar(key) && key.source === "<<" && key.type === "PLAIN") {
      for (const one of Array.isArray(json) ? [...json].reverse() : [json]) Object.assign(merged, one);
    } else {
      own[keyText(key, resolve)] = json;
    }
  }
  return { ...merged, ...own };
}

function keyText(key: unknown, resolve: Resolve): string {
  const value = toJson(key, resolve);
  return typeof value === "string" ? value : String(value);
}

function scalarToJson(scalar: Scalar): unknown {
  const { value, type, source } = scalar;
  if (type === "PLAIN" && source !== undefined && /^[-+]?0o[0-7]+$/.test(source)) return Number(source);
  if (typeof value !== "number") return value;
  if (type === "PLAIN" && source !== undefined && /^[-+]?\d[\d_]*(:[0-5]?\d)+/.test(source)) return source;
  if (!Number.isFinite(value)) throw new Error(`"${source ?? value}" is not a number that JSON knows`);
  return value;
}

/** Offset of the node at the path; where the path leaves the document, of the last node on the way. */
function offsetOf(root: Node | null, path: Path): number | undefined {
  let node: unknown = root;
  let offset = root?.range?.[0];
  for (const step of path) {
    if (isMap(node)) {
      const pair = [...node.items].reverse().find(({ key }) => isScalar(key) && String(key.value) === String(step));
      if (pair === undefined) break;
      node = pair.value;
      offset = (isScalar(pair.key) ? pair.key.range?.[0] : undefined) ?? offset;
      if (isScalar(node) && node.source !== undefined && node.source !== "") offset = node.range?.[0] ?? offset;
    } else if (isSeq(node)) {
      node = node.items[Number(step)];
      if (isNode(node)) offset = node.range?.[0] ?? offset;
    } else {
      break;
    }
  }
  return offset;
}
