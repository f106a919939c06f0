import { BUILTINS } from "../language/builtins.ts";
import { execute } from "../language/execute.ts";
import type { TemplateFunctions } from "../language/functions.ts";
import { parse } from "../language/parse.ts";
import { TemplateError } from "../language/template-error.ts";
import { type Environment, sprigFunctions } from "../sprig/index.ts";

/** Renders a template with a root object. */
export type Template = (root: object) => string;

export interface TemplateOptions {
  /** What `env` and `expandenv` read. Default: nothing. */
  readonly environment?: Environment;
  /** Functions beside those of sprig, or in place of one. */
  readonly functions?: TemplateFunctions;
}

/**
 * Compiles a template of Go's text/template language; the result renders it with a root object. Throws for a function
 * that does not exist, also in a branch that is never taken.
 */
export function createTemplate(source: string, { environment = {}, functions = {} }: TemplateOptions = {}): Template {
  const all = { ...BUILTINS, ...sprigFunctions(environment), ...functions };
  const templates = parse(source, (name) => Object.hasOwn(all, name));
  return (root) => execute(templates, all, root);
}

/** The line of a template at which it could not be read or rendered, counted from 1. */
export function templateLineOf(error: unknown): number | undefined {
  return error instanceof TemplateError ? error.line : undefined;
}
