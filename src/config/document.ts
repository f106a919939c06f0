import type { DocumentReading } from "./parsed-document.ts";

/** A text, the name to show for it, and whether every value's place is wanted. */
export interface Source {
  readonly text: string;
  readonly source: string;
  /** Also JSON is then read by the YAML parser, which is slower and keeps lines and columns. Default false. */
  readonly isPositioned?: boolean;
}

/**
 * Parses a document. JSON is parsed without loading the YAML library and has no positions: whoever finds a problem in it
 * parses again with `isPositioned`, which gives the same tree.
 */
export async function parseDocument({ text, source, isPositioned = false }: Source): Promise<DocumentReading> {
  const json = isPositioned ? undefined : parseJson(text);
  if (json !== undefined) return { ok: true, document: { tree: json, locate: () => ({ source }) } };
  const { readYaml } = await import("./yaml.ts");
  return readYaml(text, source);
}

/** More digits than a double holds: YAML reading keeps them. */
const LONG_NUMBER = /\d{16}/;

function parseJson(text: string): object | undefined {
  if (!/^[ \r\n]*\{/.test(text) || LONG_NUMBER.test(text)) return undefined;
  try {
    return JSON.parse(text) as object;
  } catch {
    return undefined; // then it is YAML, or the YAML parser says what is wrong
  }
}
