import {
  createEngine,
  sprigConversions,
  sprigDefaults,
  sprigDicts,
  sprigFlow,
  sprigLists,
  sprigMath,
  sprigRegex,
  sprigStrings,
  sprigTypes,
  type TemplateFunc,
} from "@promptctl/go-template-js";

/** Compiles a template of Go's text/template language; the result renders it with a root object. */
export function createTemplate(source: string): (root: Record<string, unknown>) => string {
  const toJson: TemplateFunc = {
    fn: (value: unknown) => goJson(value),
    argTypes: ["serializable"],
    returnType: "string",
  };
  const engine = createEngine<string>({
    fromString: (text) => text,
    isT: (value): value is string => typeof value === "string",
    funcs: {
      ...sprigConversions(),
      ...sprigDefaults(),
      ...sprigDicts(),
      ...sprigFlow(),
      ...sprigLists(),
      ...sprigMath(),
      ...sprigRegex(),
      ...sprigStrings(),
      ...sprigTypes(),
      toJson,
      toJSON: toJson,
    },
  });
  const template = engine.parse(source);
  return (root) => template.evaluate(root).join("");
}

/** Compact JSON with `<`, `>` and `&` escaped, as Go's encoding/json writes it. */
function goJson(value: unknown): string {
  const escapes: Readonly<Record<string, string>> = { "<": "\\u003c", ">": "\\u003e", "&": "\\u0026" };
  return JSON.stringify(value ?? null).replace(/[<>&]/g, (character) => escapes[character] ?? character);
}
