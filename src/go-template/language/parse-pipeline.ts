import type { Token, TokenKind } from "./lex.ts";
import type { Command, Operand, Pipe } from "./nodes.ts";
import { show } from "./nodes.ts";
import { parseChar, parseNumber, parseString } from "./parse-constant.ts";
import { TokenReader } from "./token-reader.ts";

const CONSTANTS = new Set<Operand["kind"]>(["bool", "dot", "nil", "number", "string"]);
const OPERANDS = new Set<TokenKind>([
  ...(["identifier", "field", "variable", "dot", "nil", "bool", "number", "char", "string", "("] as const),
]);

/** Pipelines, and which variables are in sight. */
export class PipelineParser extends TokenReader {
  protected variables: string[] = ["$"];
  private readonly hasFunction: (name: string) => boolean;

  constructor(tokens: readonly Token[], hasFunction: (name: string) => boolean) {
    super(tokens);
    this.hasFunction = hasFunction;
  }

  protected pipeline(context: string, end: TokenKind): Pipe {
    const { line } = this.skipSpace();
    const { variables, isAssign } = this.declarations(context);
    const commands: Command[] = [];
    for (;;) {
      this.skipSpace();
      const token = this.peek();
      if (token.kind === end) {
        this.next();
        this.check(commands, context);
        return { kind: "pipeline", line, isAssign, variables, commands };
      }
      if (!OPERANDS.has(token.kind)) this.unexpected(token, context);
      commands.push(this.command());
    }
  }

  private check([first, ...rest]: readonly Command[], context: string): void {
    if (first === undefined) this.fail(`missing value for ${context}`);
    for (const [at, { words }] of rest.entries()) {
      if (CONSTANTS.has(words[0].kind)) this.fail(`non executable command in pipeline stage ${at + 2}`);
    }
  }

  /** `$x :=`, `$x =`, `$i, $x :=` in front of a pipeline. */
  private declarations(context: string): { readonly variables: readonly string[]; readonly isAssign: boolean } {
    const start = this.at;
    const variables: string[] = [];
    while (this.peek().kind === "variable") {
      const { text } = this.next();
      this.skipSpace();
      const token = this.peek();
      if (token.kind === "assign" || token.kind === "declare") {
        this.next();
        const isAssign = token.kind === "assign";
        if (isAssign) this.known(text);
        else this.variables.push(...variables, text);
        return { variables: [...variables, text], isAssign };
      }
      if (token.kind !== ",") break;
      if (context !== "range") this.fail(`too many declarations in ${context}`);
      if (variables.length > 0) this.fail("too many declarations in range");
      variables.push(text);
      this.next();
      this.skipSpace();
      if (this.peek().kind !== "variable") this.fail("range can only initialize variables");
    }
    this.at = start;
    return { variables: [], isAssign: false };
  }

  private known(name: string): void {
    if (!this.variables.includes(name)) this.fail(`undefined variable "${name}"`);
  }

  private command(): Command {
    const words: Operand[] = [];
    for (;;) {
      this.skipSpace();
      const word = this.operand();
      if (word !== undefined) words.push(word);
      const token = this.peek();
      if (token.kind === "space") continue;
      if (token.kind === "pipe") this.next();
      else if (token.kind !== "right" && token.kind !== ")") this.unexpected(token, "operand");
      const [first, ...rest] = words;
      if (first === undefined) this.fail("empty command");
      return { words: [first, ...rest] };
    }
  }

  /** A term and the fields right behind it; undefined where none begins. */
  private operand(): Operand | undefined {
    const term = this.term();
    if (term === undefined || this.peek().kind !== "field") return term;
    const names: string[] = [];
    while (this.peek().kind === "field") names.push(this.next().text.slice(1));
    switch (term.kind) {
      case "field":
        return { kind: "field", names: [...term.names, ...names] };
      case "variable":
        return { ...term, names: [...term.names, ...names] };
      case "bool":
      case "string":
      case "number":
      case "nil":
      case "dot":
        return this.fail(`unexpected . after term "${show(term)}"`);
      default:
        return { kind: "chain", of: term, names };
    }
  }

  private term(): Operand | undefined {
    const token = this.peek();
    if (!OPERANDS.has(token.kind)) return undefined;
    this.next();
    switch (token.kind) {
      case "identifier":
        if (!this.hasFunction(token.text)) this.fail(`function "${token.text}" not defined`);
        return { kind: "function", name: token.text };
      case "dot":
        return { kind: "dot" };
      case "nil":
        return { kind: "nil" };
      case "variable":
        this.known(token.text);
        return { kind: "variable", name: token.text, names: [] };
      case "field":
        return { kind: "field", names: [token.text.slice(1)] };
      case "bool":
        return { kind: "bool", value: token.text === "true" };
      case "char":
        return parseChar(token);
      case "number":
        return parseNumber(token);
      case "(":
        return this.pipeline("parenthesized pipeline", ")");
      default:
        return { kind: "string", value: parseString(token), quoted: token.text };
    }
  }
}
