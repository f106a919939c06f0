import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { parseSync, type StaticExportEntry, type StaticImportEntry } from "oxc-parser";

/** Source files by their path from the project's root. */
export type Sources = ReadonlyMap<string, string>;

export interface Arrow {
  readonly from: string;
  /** A path from the project's root for a relative import, the specifier itself for any other. */
  readonly to: string;
  readonly isTypeOnly: boolean;
}

/** Every file of our own below `src/`; generated ones have nothing to say about the structure. */
export function readSources(): Map<string, string> {
  const files = readdirSync("src", { recursive: true, encoding: "utf8" })
    .map((file) => join("src", file))
    .filter((file) => file.endsWith(".ts") && !file.includes("proto/gen/") && !file.endsWith(".gen.ts"))
    .sort();
  return new Map(files.map((file) => [file, readFileSync(file, "utf8")]));
}

/** All imports of the sources in every form: static, for their side effect, re-exported, dynamic, and of types inside a type. */
export function arrowsOf(sources: Sources): Arrow[] {
  return [...sources].flatMap(([from, text]) =>
    specifiersOf(from, text).map(({ specifier, isTypeOnly }) => ({ from, to: targetOf(from, specifier), isTypeOnly })),
  );
}

interface Specifier {
  readonly specifier: string;
  readonly isTypeOnly: boolean;
}

const specifiersOf = oncePerText((file: string, text: string): Specifier[] => {
  const { module, program, errors } = parseSync(file, text);
  if (errors.length > 0) throw new Error(`Cannot parse ${file}: ${errors[0]?.message}`);
  const found: Specifier[] = [];
  for (const { moduleRequest, entries } of module.staticImports) {
    found.push({ specifier: moduleRequest.value, isTypeOnly: areTypes(entries) });
  }
  for (const { entries } of module.staticExports) {
    for (const entry of entries) {
      if (entry.moduleRequest !== null) found.push({ specifier: entry.moduleRequest.value, isTypeOnly: entry.isType });
    }
  }
  visit(program, (node) => {
    const source = node.type === "ImportExpression" || node.type === "TSImportType" ? node.source : undefined;
    if (isNode(source) && typeof source.value === "string") {
      found.push({ specifier: source.value, isTypeOnly: node.type === "TSImportType" });
    }
  });
  return found;
});

function areTypes(entries: readonly (StaticImportEntry | StaticExportEntry)[]): boolean {
  return entries.length > 0 && entries.every(({ isType }) => isType); // none: imported for its side effect
}

function targetOf(from: string, specifier: string): string {
  return specifier.startsWith(".") ? posix.join(dirname(from), specifier) : specifier;
}

/** How `process` is used in a file: the names read of it, and `process` itself where it is handed on as a whole. */
export const processUses = oncePerText((file: string, text: string): string[] => {
  const uses: string[] = [];
  visit(parseSync(file, text).program, (node, parent) => {
    if (node.type !== "Identifier" || node.name !== "process") return;
    const isOwner = parent?.type === "MemberExpression" && parent.object === node;
    const isGlobal = parent?.type === "MemberExpression" && parent.property === node && parent.computed === false;
    if (isGlobal && !(isNode(parent.object) && parent.object.name === "globalThis")) return; // somebody's own field
    if (parent?.type === "Property" && parent.key === node && parent.value !== node) return;
    const property = isOwner && isNode(parent.property) ? parent.property : undefined;
    uses.push(String(property?.name ?? property?.value ?? "process"));
  });
  return uses;
});

/** The text of every string and of every fixed part of a template in a file. */
export const stringsOf = oncePerText((file: string, text: string): string[] => {
  const found: string[] = [];
  visit(parseSync(file, text).program, (node) => {
    if (node.type === "Literal" && typeof node.value === "string") found.push(node.value);
    const part = node.type === "TemplateElement" ? (node.value as { cooked?: unknown }).cooked : undefined;
    if (typeof part === "string") found.push(part);
  });
  return found;
});

/** Each rule looks at all files, and each planted mutation changes one. */
function oncePerText<Found>(look: (file: string, text: string) => Found): (file: string, text: string) => Found {
  const known = new Map<string, Found>();
  return (file, text) => {
    const found = known.get(text) ?? look(file, text);
    known.set(text, found);
    return found;
  };
}

interface Node {
  readonly type: string;
  readonly [field: string]: unknown;
}

function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && typeof (value as { type?: unknown }).type === "string";
}

function visit(node: unknown, see: (node: Node, parent: Node | undefined) => void, parent?: Node): void {
  if (Array.isArray(node)) {
    for (const one of node) visit(one, see, parent);
  } else if (isNode(node)) {
    see(node, parent);
    for (const value of Object.values(node)) visit(value, see, node);
  }
}
