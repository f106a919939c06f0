import { createEngine, type FuncMap, TemplateError } from "@promptctl/go-template-js";
import { mendScopes } from "./mend-scopes.ts";
import { type Environment, templateFunctions } from "./template-functions.ts";

export type { FuncMap as TemplateFunctions } from "@promptctl/go-template-js";

/** Renders a template with a root object. */
export type Template = (root: object) => string;

export interface TemplateOptions {
  /** What `env` and `expandenv` read. Default: nothing. */
  readonly environment?: Environment;
  /** Functions beside those of sprig, or in place of one. */
  readonly functions?: FuncMap;
}

/**
 * Compiles a template of Go's text/template language; the result renders it with a root object. Throws for a function
 * that does not exist, also in a branch that is never taken.
 */
export function createTemplate(source: string, { environment = {}, functions = {} }: TemplateOptions = {}): Template {
  const funcs = { ...templateFunctions(environment), ...functions };
  const engine = createEngine<string>({
    fromString: (text) => text,
    isT: (value): value is string => typeof value === "string",
    funcs,
  });
  mendScopes(engine);
  const template = engine.parse(source);
  for (const name of template.referencedFunctions()) {
    if (!BUILT_IN.has(name) && !Object.hasOwn(funcs, name)) throw new Error(`function "${name}" not defined`);
  }
  return (root) => template.evaluate(root as Readonly<Record<string, unknown>>).join("");
}

/** The line of a template at which it could not be read or rendered, counted from 1. */
export function templateLineOf(error: unknown): number | undefined {
  return error instanceof TemplateError ? error.pos.line : undefined;
}

/** The language's own, and two that the engine always has. */
const BUILT_IN = new Set(
  "and or not eq ne lt le gt ge len index slice print println printf call html js urlquery toString toStrings".split(
    " ",
  ),
);
