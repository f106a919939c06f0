import { Composer, type CST, type Document, isCollection, LineCounter, Parser, type YAMLError } from "yaml";
import { linesInFlow, linesInQuotes } from "./yaml-lines.ts";

export interface FirstDocument {
  /** Undefined for a text without any. */
  readonly document: Document.Parsed | undefined;
  readonly error: YAMLError | undefined;
  /** Offset of what is passed over. */
  readonly rest: number | undefined;
  /** Length of a text whose last line has no end: a block scalar that reaches to it ends without one, too. */
  readonly openEnd: number | undefined;
  /** Line and column, counted from 1, of an offset that the library gave. */
  place(offset: number): { readonly line: number; readonly column: number };
}

/** So often may brackets or quotes go on too far to the left. */
const MOST_TRIES = 100;

/**
 * The first document of a text, and where it ends for go-yaml: behind a complete root, and at the next document, nothing is
 * read any more, mistakes included. Lines inside of brackets and quotes may begin in any column, as they may for go-yaml;
 * the library wants them indented, so they are.
 */
export function parseFirstDocument(given: string): FirstDocument {
  const lines = withLineFeeds(given).split("\n");
  const margin = 1 + Math.max(...lines.map((line) => line.search(/[^ ]|$/)));
  const indented = new Set<number>();
  for (let tries = 1; ; tries++) {
    const counter = new LineCounter();
    const text = lines.map((line, at) => (indented.has(at) ? `${" ".repeat(margin)}${line}` : line)).join("\n");
    const first = parseOnce(text, counter);
    const place: FirstDocument["place"] = (offset) => {
      const { line, col } = counter.linePos(offset);
      return { line, column: indented.has(line - 1) ? Math.max(1, col - margin) : col };
    };
    const known = indented.size;
    const more = first.error === undefined || tries === MOST_TRIES ? [] : linesToIndent(lines, first.error, place);
    for (const line of more) indented.add(line);
    if (indented.size === known) return { ...first, place, openEnd: text.endsWith("\n") ? undefined : text.length };
  }
}

function parseOnce(text: string, lineCounter: LineCounter): Omit<FirstDocument, "place" | "openEnd"> {
  const options = { version: "1.1", schema: "failsafe", uniqueKeys: false, logLevel: "silent" } as const;
  const tokens = new Parser(lineCounter.addNewLine).parse(text);
  const [document, next] = new Composer(options).compose(withFewErrors(tokens));
  // go-yaml takes `'a'#b` and `|#b`, too
  const error = document?.errors.find(({ message }) => !message.startsWith("Comments must be separated"));
  const [begin, end] = next?.contents?.range ?? [];
  const second = begin === end ? undefined : begin;
  if (error === undefined) return { document, error, rest: second };
  const isOfNext = error.pos[0] >= (next?.range[0] ?? Number.POSITIVE_INFINITY);
  const root = document?.contents;
  const isRootComplete = (isCollection(root) && root.flow === true) || / at node end\b/.test(error.message);
  const isBehindRoot = isRootComplete && error.code === "UNEXPECTED_TOKEN" && error.pos[0] >= (root?.range?.[1] ?? 0);
  return isOfNext || isBehindRoot
    ? { document, error: undefined, rest: error.pos[0] }
    : { document, error, rest: second };
}

/** Only the first that counts is told, and the library takes a second for each ten thousand. */
const MOST_ERRORS = 100;

function* withFewErrors(tokens: Iterable<CST.Token>): Generator<CST.Token> {
  let errors = 0;
  for (const token of tokens) {
    if (token.type !== "error" || ++errors <= MOST_ERRORS) yield token;
  }
}

/** YAML 1.1 knows more ends of a line than the library: CR alone, NEL, LS and PS. The offsets stay. */
function withLineFeeds(text: string): string {
  const plain = text.replaceAll(/\r(?!\n)/g, "\n");
  if (!/[\u0085\u2028\u2029]/.test(plain)) return plain;
  return plain.replaceAll(/"(?:[^"\\\n]|\\.)*"|[\u0085\u2028\u2029]/g, (found) => (found.length === 1 ? "\n" : found));
}

/** The lines, counted from 0, that the library took for the end of brackets or quotes, and did not find it there. */
function linesToIndent(lines: readonly string[], error: YAMLError, place: FirstDocument["place"]): readonly number[] {
  const { line, column } = place(error.pos[0]);
  const isAtEnd = column > (lines[line - 1] ?? "").trimEnd().length;
  const first = isAtEnd ? line : line - 1;
  if (error.code === "BAD_INDENT" && error.message.startsWith("Flow ")) return linesInFlow(lines, first);
  const [, quote] = /^Missing closing (["'])/.exec(error.message) ?? [];
  return quote === undefined ? [] : linesInQuotes(lines, first, quote);
}
