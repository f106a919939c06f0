import { createEngine } from "@promptctl/go-template-js";
import { type Environment, templateFunctions } from "./template-functions.ts";

/**
 * Compiles a template of Go's text/template language; the result renders it with a root object. Throws for a function
 * that does not exist, also in a branch that is never taken.
 */
export function createTemplate(
  source: string,
  environment: Environment,
): (root: Readonly<Record<string, unknown>>) => string {
  const funcs = templateFunctions(environment);
  const engine = createEngine<string>({
    fromString: (text) => text,
    isT: (value): value is string => typeof value === "string",
    funcs,
  });
  const template = engine.parse(source);
  for (const name of template.referencedFunctions()) {
    if (!BUILT_IN.has(name) && !Object.hasOwn(funcs, name)) throw new Error(`function "${name}" not defined`);
  }
  return (root) => template.evaluate(root).join("");
}

/** The language's own, and two that the engine always has. */
const BUILT_IN = new Set(
  "and or not eq ne lt le gt ge len index slice print println printf call html js urlquery toString toStrings".split(
    " ",
  ),
);
