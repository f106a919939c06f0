import type { Token, TokenKind } from "./lex.ts";
import { TemplateError } from "./template-error.ts";

const END: Token = { kind: "end of input", text: "", line: 1 };

/** Tokens one after the other. */
export class TokenReader {
  protected at = 0;
  private readonly tokens: readonly Token[];

  constructor(tokens: readonly Token[]) {
    this.tokens = tokens;
  }

  protected peek(): Token {
    return this.tokens[this.at] ?? END;
  }

  protected next(): Token {
    const token = this.peek();
    this.at++;
    return token;
  }

  /** The token that is next once spaces are passed. */
  protected skipSpace(): Token {
    while (this.peek().kind === "space") this.at++;
    return this.peek();
  }

  protected expect(kind: TokenKind, context: string): void {
    const token = this.next();
    if (token.kind !== kind) this.unexpected(token, context);
  }

  protected unexpected({ kind, text }: Token, context: string): never {
    const name = kind === "keyword" ? `<${text}>` : JSON.stringify(text);
    return this.fail(kind === "end of input" ? "unexpected EOF" : `unexpected ${name} in ${context}`);
  }

  protected fail(message: string): never {
    throw new TemplateError(message, (this.tokens[Math.max(this.at - 1, 0)] ?? END).line);
  }
}
