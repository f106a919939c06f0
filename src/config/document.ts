import { describeError } from "../base/index.ts";
import type { DocumentReading } from "./parsed-document.ts";

/**
 * Parses a document. JSON is parsed without loading the YAML library and has no positions: whoever finds a problem in it
 * parses again with `parseYaml`, which gives the same tree.
 */
export async function parseDocument(text: string, source: string): Promise<DocumentReading> {
  const json = parseJson(text);
  if (json !== undefined) {
    return { ok: true, document: { tree: json, locate: () => ({ source }) } };
  }
  return parseYaml(text, source);
}

/** The same, with positions for sure: for when a problem has to be shown. */
export async function parseYaml(text: string, source: string): Promise<DocumentReading> {
  const { readYaml } = await import("./yaml.ts");
  try {
    return readYaml(text, source);
  } catch (error) {
    return { ok: false, origin: { source }, message: describeError(error) };
  }
}

function parseJson(text: string): object | undefined {
  if (!/^\s*\{/.test(text)) return undefined;
  try {
    return JSON.parse(text) as object;
  } catch {
    return undefined; // then it is YAML, or the YAML parser says what is wrong
  }
}
