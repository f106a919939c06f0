/** What is reached of the engine's inside. */
interface Inside {
  evalPipe(pipe: Pipe, scope: Scope, context: unknown): unknown;
  evalPipeWithoutDecls(pipe: Pipe, scope: Scope, context: unknown): unknown;
  evalIf(node: unknown, scope: Scope, context: unknown): void;
}

interface Pipe {
  /** `$x = …`, where `$x := …` declares. */
  readonly isAssign: boolean;
  readonly decls: readonly { readonly idents: readonly string[] }[];
}

interface Scope {
  readonly dot: unknown;
  readonly root: unknown;
  readonly parent: Scope | undefined;
  readonly vars: Map<string, unknown>;
}

/**
 * Gives `=` and `if` the scopes that Go gives them: an assignment changes the variable where it was declared, and what an `if`
 * declares ends with it. @promptctl/go-template-js 0.9.0 declares anew in both cases; with one that does not this file can go.
 */
export function mendScopes(engine: object): void {
  const inside = engine as Inside;
  const evalPipe = inside.evalPipe.bind(engine);
  const evalIf = inside.evalIf.bind(engine);
  inside.evalPipe = (pipe, scope, context) => {
    if (!pipe.isAssign) return evalPipe(pipe, scope, context);
    const value = inside.evalPipeWithoutDecls(pipe, scope, context);
    for (const { idents } of pipe.decls) assign(idents[0] ?? "$", value, scope);
    return value;
  };
  inside.evalIf = (node, scope, context) =>
    evalIf(node, { dot: scope.dot, root: scope.root, parent: scope, vars: new Map() }, context);
}

function assign(name: string, value: unknown, scope: Scope): void {
  let at: Scope | undefined = scope;
  while (at !== undefined && !at.vars.has(name)) at = at.parent;
  if (at === undefined) throw new Error(`undefined variable "${name}"`);
  at.vars.set(name, value);
}
