import { TemplateError } from "./template-error.ts";

export type TokenKind =
  | "text"
  | "left"
  | "right"
  | "space"
  | "identifier"
  | "keyword"
  | "field"
  | "variable"
  | "dot"
  | "nil"
  | "bool"
  | "number"
  | "char"
  | "string"
  | "assign"
  | "declare"
  | "pipe"
  | "("
  | ")"
  | ","
  | "end of input";

export interface Token {
  readonly kind: TokenKind;
  readonly text: string;
  readonly line: number;
}

const KEYWORDS = new Set(["block", "break", "continue", "define", "else", "end", "if", "range", "template", "with"]);

/** What stands in an action, the longest first; each is tried where the one before has ended. */
const IN_ACTION: readonly (readonly [kind: TokenKind, pattern: RegExp])[] = [
  ["right", /(?:[ \t\r\n]-)?\}\}/y],
  ["space", /[ \t\r\n]+?(?=[ \t\r\n]-\}\})|[ \t\r\n]+/y],
  ["declare", /:=/y],
  ["assign", /=/y],
  ["pipe", /\|/y],
  ["string", /"(?:[^"\\\n]|\\[^\n])*"|`[^`]*`/y],
  ["char", /'(?:[^'\\\n]|\\[^\n])+'/y],
  ["variable", /\$[\p{L}\p{Nd}_]*/uy],
  [
    "number",
    /[+-]?(?:0[xXbBoO])?(?:\d|\.\d)(?:(?<=[eEpP])[+-]|[\p{L}\p{Nd}_.])*|[+-]?0[xX][\da-fA-F_.]+(?:[pP][+-]?\d+)?/uy,
  ],
  ["field", /\.[\p{L}_][\p{L}\p{Nd}_]*/uy],
  ["dot", /\./y],
  ["identifier", /[\p{L}_][\p{L}\p{Nd}_]*/uy],
  ["(", /\(/y],
  [")", /\)/y],
  [",", /,/y],
];

/** Behind a word one of these must stand. */
const TERMINATOR = /[ \t\r\n.,|:()]|\}\}|$/y;
const COMMENT = /\/\*/y;

/** Cuts a template into its tokens. Throws TemplateError for what none begins with. */
export function lex(source: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  let line = 1;
  let isTrimmed = false;
  const add = (kind: TokenKind, text: string): void => {
    tokens.push({ kind, text, line });
  };
  const pass = (text: string): void => {
    at += text.length;
    line += text.split("\n").length - 1;
  };
  while (at < source.length) {
    const left = source.indexOf("{{", at);
    const end = left === -1 ? source.length : left;
    const hasMarker = left !== -1 && /^-[ \t\r\n]/.test(source.slice(left + 2, left + 4));
    addText(source.slice(at, end), isTrimmed, hasMarker, add, pass);
    if (left === -1) break;
    add("left", "{{");
    pass(hasMarker ? source.slice(at, at + 4) : "{{");
    const comment = matchAt(COMMENT, source, at);
    if (comment !== undefined) {
      const text = commentText(source, at, line);
      tokens.pop();
      isTrimmed = /-\}\}$/.test(text);
      pass(text);
      continue;
    }
    isTrimmed = lexAction(source, () => ({ at, line }), add, pass);
  }
  add("end of input", "");
  return tokens;
}

function addText(
  text: string,
  isTrimmedLeft: boolean,
  isTrimmedRight: boolean,
  add: (kind: TokenKind, text: string) => void,
  pass: (text: string) => void,
): void {
  const left = isTrimmedLeft ? text.replace(/^[ \t\r\n]+/, "") : text;
  const kept = isTrimmedRight ? left.replace(/[ \t\r\n]+$/, "") : left;
  if (kept !== "") add("text", kept);
  pass(text);
}

function commentText(source: string, at: number, line: number): string {
  const end = source.indexOf("*/", at + 2);
  if (end === -1) throw new TemplateError("unclosed comment", line);
  const close = /^(?:[ \t\r\n]-)?\}\}/.exec(source.slice(end + 2, end + 6))?.[0];
  if (close === undefined) throw new TemplateError("comment ends before closing delimiter", line);
  return source.slice(at, end + 2) + close;
}

/** Adds the tokens of one action; true when the text behind it is trimmed. */
function lexAction(
  source: string,
  place: () => { readonly at: number; readonly line: number },
  add: (kind: TokenKind, text: string) => void,
  pass: (text: string) => void,
): boolean {
  let depth = 0;
  for (;;) {
    const { at, line } = place();
    if (at >= source.length) throw new TemplateError("unclosed action", line);
    const [kind, text] = tokenAt(source, at, line);
    if (kind === "(") depth++;
    if (kind === ")" && --depth < 0) throw new TemplateError("unexpected right paren", line);
    if (kind === "right" && depth > 0) throw new TemplateError("unclosed left paren", line);
    add(kind, text);
    pass(text);
    if (kind === "right") return text.length > 2;
  }
}

function tokenAt(source: string, at: number, line: number): readonly [TokenKind, string] {
  for (const [kind, pattern] of IN_ACTION) {
    const text = matchAt(pattern, source, at);
    if (text === undefined) continue;
    const isWord = kind === "identifier" || kind === "field" || kind === "variable";
    if (isWord && matchAt(TERMINATOR, source, at + text.length) === undefined) {
      throw new TemplateError(`bad character ${shown(source, at + text.length)}`, line);
    }
    return [kind === "identifier" ? wordKind(text) : kind, text];
  }
  const first = source.charAt(at);
  if (first === '"') throw new TemplateError("unterminated quoted string", line);
  if (first === "`") throw new TemplateError("unterminated raw quoted string", line);
  if (first === "'") throw new TemplateError("unterminated character constant", line);
  if (first === ":") throw new TemplateError("expected :=", line);
  if (/[+-]/.test(first)) throw new TemplateError(`bad number syntax: "${source.slice(at, at + 2)}"`, line);
  throw new TemplateError(`unrecognized character in action: ${shown(source, at)}`, line);
}

function wordKind(word: string): TokenKind {
  if (word === "true" || word === "false") return "bool";
  if (word === "nil") return "nil";
  return KEYWORDS.has(word) ? "keyword" : "identifier";
}

function matchAt(pattern: RegExp, source: string, at: number): string | undefined {
  pattern.lastIndex = at;
  return pattern.exec(source)?.[0];
}

/** A character as Go's `%#U` prints it. */
function shown(source: string, at: number): string {
  const code = source.codePointAt(at) ?? 0;
  return `U+${code.toString(16).toUpperCase().padStart(4, "0")} '${String.fromCodePoint(code)}'`;
}
