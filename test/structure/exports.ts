import { type Export, exportsOf, importedNames, type Sources } from "./source-graph.ts";

const ALL = "*";

/** Exports that no other file uses, as `file: name`. What only an unused index shows is unused, too. */
export function unusedExports(sources: Sources): string[] {
  const exported = new Map([...sources].map(([file, text]) => [file, exportsOf(file, text)]));
  const used = new Set<string>();
  const use = (file: string, name: string): void => {
    const own = exported.get(file) ?? [];
    const named = own.filter((one) => name === ALL || one.name === name);
    for (const one of named.length > 0 ? named : own.filter((each) => each.name === ALL)) {
      follow(file, one, one.name === ALL ? name : one.name);
    }
  };
  const follow = (file: string, { from, original }: Export, name: string): void => {
    if (used.has(`${file}: ${name}`)) return;
    used.add(`${file}: ${name}`);
    if (from !== undefined) use(from, original === ALL ? name : original);
  };
  for (const [file, text] of sources) for (const { from, name } of importedNames(file, text)) use(from, name);
  return [...exported].flatMap(([file, list]) =>
    list
      .filter(({ name }) => name !== ALL && !isShape(name, sources.get(file) ?? ""))
      .map(({ name }) => `${file}: ${name}`)
      .filter((one) => !used.has(one)),
  );
}

/** A type that its own file names again is part of the shape of what that file exports. */
function isShape(name: string, text: string): boolean {
  const isDeclared = new RegExp(`^export (interface|type) ${name}\\b`, "m").test(text);
  return isDeclared && (text.match(new RegExp(`\\b${name}\\b`, "g")) ?? []).length > 1;
}
