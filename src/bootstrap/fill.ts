import type { JsonObject, JsonValue } from "../istio/mesh/index.ts";

export type Values = Readonly<Record<string, JsonValue | undefined>>;

/**
 * Makes a document out of a template; the rules are in bootstrap-templates/README.md. A name without a value in
 * `values` is absent, so a template cannot ask for more than the code gives without losing the member.
 */
export function fill(template: unknown, values: Values = {}): JsonObject {
  return fillValue(template as JsonValue, values) as JsonObject;
}

function fillValue(template: JsonValue, values: Values): JsonValue | undefined {
  if (typeof template === "string") return fillText(template, values);
  if (Array.isArray(template)) return template.flatMap((item) => fillItem(item, values));
  if (typeof template !== "object" || template === null) return template;
  const object: Record<string, JsonValue> = {};
  for (const [name, member] of Object.entries(template)) {
    const filled = fillValue(member, values);
    if (filled !== undefined) object[name] = filled;
  }
  return object;
}

function fillItem(item: JsonValue, values: Values): readonly JsonValue[] {
  const filled = fillValue(item, values);
  if (filled === undefined) return [];
  return typeof item === "string" && Array.isArray(filled) ? filled : [filled];
}

function fillText(text: string, values: Values): JsonValue | undefined {
  const [, name] = /^\$([a-z_]+)$/.exec(text) ?? [];
  if (name !== undefined) return values[name];
  return text.replace(/\$\{([a-z_]+)\}/g, (_, inner: string) => String(values[inner] ?? ""));
}
