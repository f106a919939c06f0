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

export interface Export {
  /** `*` for everything of another file. */
  readonly name: string;
  /** The file that it is exported again from; undefined for one of its own. */
  readonly from: string | undefined;
  /** Its name there; `*` for all of it. */
  readonly original: string;
}

/** What a file exports. */
export const exportsOf = oncePerText((file: string, text: string): Export[] =>
  parseSync(file, text).module.staticExports.flatMap(({ entries }) =>
    entries.map(({ exportName, importName, moduleRequest }) => ({
      name: exportName.kind === "None" ? "*" : (exportName.name ?? "default"),
      from: moduleRequest === null ? undefined : targetOf(file, moduleRequest.value),
      original: importName.kind === "Name" ? (importName.name ?? "*") : "*",
    })),
  ),
);

export interface ImportedName {
  readonly from: string;
  /** `*` where a file is taken as a whole. */
  readonly name: string;
}

/** What a file imports by name, statically, dynamically and inside types; what it only exports again is not in it. */
export const importedNames = oncePerText((file: string, text: string): ImportedName[] => {
  const { module, program } = parseSync(file, text);
  const found: ImportedName[] = module.staticImports.flatMap(({ moduleRequest, entries }) =>
    entries.map(({ importName }) => ({
      from: targetOf(file, moduleRequest.value),
      name: importName.kind === "Default" ? "default" : (importName.name ?? "*"),
    })),
  );
  const known = new Set<unknown>();
  const add = (call: unknown, names: readonly string[]): void => {
    const source = isNode(call) && isNode(call.source) ? call.source.value : undefined;
    if (typeof source !== "string" || known.has(call)) return;
    known.add(call);
    for (const name of names) found.push({ from: targetOf(file, source), name });
  };
  visit(program, (node) => {
    if (node.type === "VariableDeclarator")
      for (const [call, names] of takenApart(node.id, node.init)) add(call, names);
    if (node.type === "ImportExpression") add(node, ["*"]);
    if (node.type === "TSImportType") add(node, [firstName(node.qualifier)]);
  });
  return found;
});

/** `const { a, b } = await import(…)`, and the same of several by `Promise.all`: which names are taken of which call. */
function takenApart(pattern: unknown, value: unknown): [Node, string[]][] {
  if (!isNode(pattern) || !isNode(value)) return [];
  if (value.type === "AwaitExpression") return takenApart(pattern, value.argument);
  if (value.type === "CallExpression" && pattern.type === "ArrayPattern") {
    const [list] = value.arguments as unknown[];
    const calls = isNode(list) && list.type === "ArrayExpression" ? (list.elements as unknown[]) : [];
    return calls.flatMap((call, at) => takenApart((pattern.elements as unknown[])[at], call));
  }
  if (value.type !== "ImportExpression" || pattern.type !== "ObjectPattern") return [];
  return [[value, (pattern.properties as { key?: { name?: string } }[]).map(({ key }) => key?.name ?? "*")]];
}

function firstName(qualifier: unknown): string {
  if (!isNode(qualifier)) return "*";
  return qualifier.type === "TSQualifiedName" ? firstName(qualifier.left) : String(qualifier.name);
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

/**
 * Where a file writes to an output of the process, or to a stream of that name: `host.stderr.write(…)`, the same by a
 * variable, a field taken apart, a parameter of that type or a name in brackets, and `console`.
 */
export const outputWrites = oncePerText((file: string, text: string): string[] => {
  const { program } = parseSync(file, text);
  const outputs = new Set(OUTPUTS);
  const isOutput = (node: unknown): boolean => {
    if (!isNode(node)) return false;
    if (node.type === "MemberExpression") return OUTPUTS.includes(nameIn(node.property));
    return node.type === "Identifier" && outputs.has(nameIn(node));
  };
  visit(program, (node) => {
    if (node.type === "VariableDeclarator" && isNode(node.id) && isOutput(node.init)) outputs.add(nameIn(node.id));
    if (node.type === "Property" && OUTPUTS.includes(nameIn(node.key))) outputs.add(nameIn(node.value));
    const isStream = JSON.stringify(node.typeAnnotation ?? null).includes('"WritableStream"');
    if (node.type === "Identifier" && isStream) outputs.add(nameIn(node));
  });
  const found: string[] = [];
  visit(program, (node) => {
    if (node.type !== "MemberExpression" || !isNode(node.object)) return;
    const [owner, method] = [node.object, nameIn(node.property)];
    if (nameIn(owner) === "console" && owner.type === "Identifier") found.push(`console.${method}`);
    if (["write", "end"].includes(method) && isOutput(owner)) {
      found.push(`${nameIn(owner.type === "Identifier" ? owner : owner.property)}.${method}`);
    }
  });
  return found;
});

const OUTPUTS = ["stdout", "stderr"];

/** Of an identifier or a string. */
function nameIn(node: unknown): string {
  return isNode(node) ? String(node.name ?? node.value ?? "") : "";
}

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
