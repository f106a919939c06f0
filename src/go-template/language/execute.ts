import { type GoValue, goInteger, goKind, goTypeName } from "../go-value.ts";
import { Evaluator } from "./evaluate.ts";
import { printable, sortedEntries } from "./format.ts";
import { isTrue, type TemplateFunctions } from "./functions.ts";
import type { Branch, Node } from "./nodes.ts";
import type { Templates } from "./parse.ts";

const DEEPEST_TEMPLATE = 1_000;

/** Renders the template that has the name "" with a root object. Throws TemplateError. Source: Go text/template (exec.go). */
export function execute(templates: Templates, functions: TemplateFunctions, root: GoValue): string {
  const run = new Run(templates, functions, 0);
  run.start(root, "");
  return run.text.join("");
}

/** How a list of nodes ended. */
type End = "done" | "break" | "continue";

class Run {
  readonly text: string[] = [];
  private readonly templates: Templates;
  private readonly functions: TemplateFunctions;
  private readonly evaluator: Evaluator;
  private readonly depth: number;

  constructor(templates: Templates, functions: TemplateFunctions, depth: number) {
    this.templates = templates;
    this.functions = functions;
    this.depth = depth;
    this.evaluator = new Evaluator(functions);
  }

  start(dot: GoValue, name: string): void {
    this.evaluator.variables.push({ name: "$", value: dot });
    this.list(dot, this.templates.get(name) ?? []);
  }

  private list(dot: GoValue, nodes: readonly Node[]): End {
    for (const node of nodes) {
      const end = this.node(dot, node);
      if (end !== "done") return end;
    }
    return "done";
  }

  private node(dot: GoValue, node: Node): End {
    switch (node.kind) {
      case "text":
        this.text.push(node.text);
        return "done";
      case "action": {
        const value = this.evaluator.pipeline(dot, node.pipe);
        if (node.pipe.variables.length === 0) this.text.push(this.printed(value));
        return "done";
      }
      case "break":
      case "continue":
        return node.kind;
      case "template":
        this.template(dot, node);
        return "done";
      default:
        return this.scoped(() => (node.kind === "range" ? this.range(dot, node) : this.condition(dot, node)));
    }
  }

  /** Variables that are declared within end there. */
  private scoped(inner: () => End): End {
    const outside = this.evaluator.variables.length;
    const end = inner();
    this.evaluator.variables.length = outside;
    return end;
  }

  private condition(dot: GoValue, { kind, pipe, body, otherwise = [] }: Branch): End {
    const value = this.evaluator.pipeline(dot, pipe);
    if (!isTrue(value)) return this.list(dot, otherwise);
    return this.list(kind === "with" ? value : dot, body);
  }

  private range(dot: GoValue, node: Branch): End {
    const { pipe, body, otherwise = [] } = node;
    const value = this.evaluator.pipeline(dot, pipe);
    const entries = this.entries(value, pipe.variables.length);
    let isEmpty = true;
    for (const [key, item] of entries) {
      isEmpty = false;
      const end = this.scoped(() => {
        this.setRangeVariables(node, key, item);
        return this.list(item, body);
      });
      if (end === "break") break;
    }
    return isEmpty ? this.list(dot, otherwise) : "done";
  }

  private setRangeVariables({ pipe: { variables, isAssign } }: Branch, key: GoValue, item: GoValue): void {
    const declared = this.evaluator.variables;
    const values = variables.length > 1 ? [key, item] : [item];
    for (const [at, value] of values.slice(0, variables.length).entries()) {
      const name = variables[at] ?? "";
      if (isAssign) this.evaluator.assign(name, value);
      else {
        const variable = declared.at(at - variables.length);
        if (variable !== undefined) variable.value = value;
      }
    }
  }

  private *entries(value: GoValue, variables: number): Iterable<readonly [GoValue, GoValue]> {
    const count = goInteger(value);
    if (count !== undefined) {
      if (variables > 1) this.evaluator.fail(`can't use ${count} to iterate over more than one variable`);
      for (let at = 0n; at < count; at++) yield [undefined, at];
    } else if (Array.isArray(value)) {
      for (const [at, item] of value.entries()) yield [BigInt(at), item];
    } else if (goKind(value) === "map") {
      yield* sortedEntries(value as object);
    } else if (value !== undefined && value !== null) {
      this.evaluator.fail(`range can't iterate over ${printable(value)}`);
    }
  }

  /** A template that is called sees none of the caller's variables. */
  private template(dot: GoValue, { name, pipe, line }: Extract<Node, { kind: "template" }>): void {
    this.evaluator.at(line);
    if (!this.templates.has(name) || name === "") this.evaluator.fail(`template ${JSON.stringify(name)} not defined`);
    if (this.depth >= DEEPEST_TEMPLATE) {
      this.evaluator.fail(`exceeded maximum template depth (${DEEPEST_TEMPLATE})`);
    }
    const value = pipe === undefined ? undefined : this.evaluator.pipeline(dot, pipe);
    const called = new Run(this.templates, this.functions, this.depth + 1);
    called.start(value, name);
    for (const text of called.text) this.text.push(text);
  }

  private printed(value: GoValue): string {
    if (goKind(value) === "func") this.evaluator.fail(`can't print a value of type ${goTypeName(value)}`);
    return printable(value);
  }
}
