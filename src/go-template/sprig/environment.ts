import { goFunctions, type TemplateFunctions } from "../language/functions.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** What a template reads of the environment, of which it sees only what it is given. */
export function environmentFunctions(environment: Environment): TemplateFunctions {
  const lookUp = (name: string): string => (Object.hasOwn(environment, name) ? (environment[name] ?? "") : "");
  const expand = (text: string): string =>
    text.replace(/\$(?:\{(\w+)\}|(\w+))/g, (_, braced?: string, bare?: string) => lookUp(braced ?? bare ?? ""));
  return goFunctions({ env: ["string", lookUp], expandenv: ["string", expand] });
}
