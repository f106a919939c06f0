import { lex, type Token } from "./lex.ts";
import type { Branch, Node } from "./nodes.ts";
import { parseString } from "./parse-constant.ts";
import { PipelineParser } from "./parse-pipeline.ts";

/** The templates of a source by name; the source's own has the name "". */
export type Templates = ReadonlyMap<string, readonly Node[]>;

/**
 * Parses a template. Throws TemplateError, also for a function that does not exist and a variable that is not declared.
 * Source: Go text/template/parse (parse.go).
 */
export function parse(source: string, hasFunction: (name: string) => boolean): Templates {
  return new Parser(lex(source), hasFunction).parseAll();
}

class Parser extends PipelineParser {
  private readonly templates = new Map<string, readonly Node[]>();
  private rangeDepth = 0;

  parseAll(): Templates {
    const { nodes, end } = this.list(true);
    if (end.kind !== "end of input") this.fail(`unexpected {{${end.text}}}`);
    this.add("", nodes);
    return this.templates;
  }

  // Nodes

  /** Nodes up to `end`, `else` or the end of the input, which is taken. */
  private list(isTop = false): { readonly nodes: Node[]; readonly end: Token } {
    const nodes: Node[] = [];
    for (;;) {
      const token = this.next();
      if (token.kind === "end of input") {
        if (!isTop) this.fail("unexpected EOF");
        return { nodes, end: token };
      }
      if (token.kind === "text") {
        nodes.push({ kind: "text", text: token.text });
        continue;
      }
      this.skipSpace();
      const word = this.peek();
      if (word.kind === "keyword" && (word.text === "end" || word.text === "else")) return { nodes, end: this.next() };
      const isDefinition = word.kind === "keyword" && word.text === "define";
      if (isDefinition && !isTop) this.unexpected(this.next(), "command");
      if (isDefinition) this.definition();
      else nodes.push(this.action());
    }
  }

  private action(): Node {
    const token = this.peek();
    if (token.kind !== "keyword") return { kind: "action", pipe: this.pipeline("command", "right") };
    this.next();
    switch (token.text) {
      case "if":
      case "with":
      case "range":
        return this.branch(token.text);
      case "template":
        return this.template();
      case "block":
        return this.block();
      case "break":
      case "continue":
        if (this.rangeDepth === 0) this.fail(`{{${token.text}}} outside {{range}}`);
        this.skipSpace();
        this.expect("right", `{{${token.text}}}`);
        return { kind: token.text };
      default:
        return this.unexpected(token, "command");
    }
  }

  private branch(kind: Branch["kind"]): Node {
    const outside = this.variables.length;
    const pipe = this.pipeline(kind, "right");
    this.rangeDepth += kind === "range" ? 1 : 0;
    const { nodes: body, end } = this.list();
    this.rangeDepth -= kind === "range" ? 1 : 0;
    const otherwise = end.text === "else" ? this.otherwise(kind) : this.close("end");
    this.variables.length = outside;
    return { kind, pipe, body, otherwise };
  }

  /** Behind `else`: its nodes, or those of `else if` and `else with`, which have their `end` in common. */
  private otherwise(kind: Branch["kind"]): readonly Node[] {
    this.skipSpace();
    const token = this.peek();
    const isChained = token.kind === "keyword" && token.text === kind && kind !== "range";
    if (isChained) {
      this.next();
      return [this.branch(kind)];
    }
    this.expect("right", "else");
    const { nodes, end } = this.list();
    if (end.text !== "end") this.fail("expected end; found {{else}}");
    this.close("end");
    return nodes;
  }

  private close(context: string): undefined {
    this.skipSpace();
    this.expect("right", context);
    return undefined;
  }

  private template(): Node {
    const { line } = this.skipSpace();
    const name = this.name("template clause");
    this.skipSpace();
    if (this.peek().kind === "right") {
      this.next();
      return { kind: "template", name, pipe: undefined, line };
    }
    return { kind: "template", name, pipe: this.pipeline("template clause", "right"), line };
  }

  private block(): Node {
    const { line } = this.skipSpace();
    const name = this.name("block clause");
    this.skipSpace();
    const pipe = this.pipeline("block clause", "right");
    this.body(name, "block clause");
    return { kind: "template", name, pipe, line };
  }

  private definition(): void {
    this.next();
    this.skipSpace();
    const name = this.name("define clause");
    this.close("define clause");
    this.body(name, "define clause");
  }

  /** The body of `define` and `block`: variables and loops outside of it do not reach into it. */
  private body(name: string, context: string): void {
    const { variables, rangeDepth } = this;
    [this.variables, this.rangeDepth] = [["$"], 0];
    const { nodes, end } = this.list();
    if (end.text !== "end") this.fail(`unexpected {{else}} in ${context}`);
    this.close(context);
    [this.variables, this.rangeDepth] = [variables, rangeDepth];
    this.add(name, nodes);
  }

  /** An empty template does not replace one that says something. */
  private add(name: string, nodes: readonly Node[]): void {
    const isEmpty = nodes.every((node) => node.kind === "text" && node.text.trim() === "");
    const before = this.templates.get(name);
    if (before !== undefined && !isEmpty && before.length > 0) {
      this.fail(`template: multiple definition of template ${JSON.stringify(name)}`);
    }
    if (before === undefined || !isEmpty) this.templates.set(name, nodes);
  }

  private name(context: string): string {
    const token = this.next();
    if (token.kind !== "string") this.unexpected(token, context);
    return parseString(token);
  }
}
