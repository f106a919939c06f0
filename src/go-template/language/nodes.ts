/** The tree of a template. Source: Go text/template/parse (node.go). */
export type Node =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "action"; readonly pipe: Pipe }
  | Branch
  | { readonly kind: "template"; readonly name: string; readonly pipe: Pipe | undefined; readonly line: number }
  | { readonly kind: "break" | "continue" };

export interface Branch {
  readonly kind: "if" | "with" | "range";
  readonly pipe: Pipe;
  readonly body: readonly Node[];
  readonly otherwise: readonly Node[] | undefined;
}

export interface Pipe {
  readonly kind: "pipeline";
  readonly line: number;
  /** `$x = …`, where `$x := …` declares. */
  readonly isAssign: boolean;
  readonly variables: readonly string[];
  readonly commands: readonly Command[];
}

export interface Command {
  /** What is called or evaluated, then its arguments. */
  readonly words: readonly [Operand, ...Operand[]];
}

/** An operand of a command. */
export type Operand =
  | { readonly kind: "dot" | "nil" }
  | { readonly kind: "bool"; readonly value: boolean }
  | { readonly kind: "string"; readonly value: string; readonly quoted: string }
  | NumberNode
  | { readonly kind: "field"; readonly names: readonly string[] }
  | { readonly kind: "variable"; readonly name: string; readonly names: readonly string[] }
  | { readonly kind: "chain"; readonly of: Operand; readonly names: readonly string[] }
  | { readonly kind: "function"; readonly name: string }
  | Pipe;

/** A number has each type that it fits. */
export interface NumberNode {
  readonly kind: "number";
  readonly text: string;
  readonly int: bigint | undefined;
  readonly float: number | undefined;
}

/** An operand as messages show it. */
export function show(node: Operand): string {
  switch (node.kind) {
    case "dot":
      return ".";
    case "bool":
      return String(node.value);
    case "string":
      return node.quoted;
    case "number":
      return node.text;
    case "field":
      return dotted(node.names);
    case "variable":
      return node.name + dotted(node.names);
    case "chain":
      return `${node.of.kind === "pipeline" ? `(${show(node.of)})` : show(node.of)}${dotted(node.names)}`;
    case "function":
      return node.name;
    case "pipeline":
      return showPipe(node);
    default:
      return node.kind;
  }
}

function showPipe({ variables, isAssign, commands }: Pipe): string {
  const left = variables.length === 0 ? "" : `${variables.join(", ")} ${isAssign ? "=" : ":="} `;
  const words = commands.map((command) => command.words.map(showWord).join(" "));
  return left + words.join(" | ");
}

function showWord(word: Operand): string {
  return word.kind === "pipeline" ? `(${show(word)})` : show(word);
}

function dotted(names: readonly string[]): string {
  return names.map((name) => `.${name}`).join("");
}
