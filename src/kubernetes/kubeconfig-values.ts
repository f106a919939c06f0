/** A map of a kubeconfig. */
export type Entry = Readonly<Record<string, unknown>>;

/** A map as it is; anything else, as an empty one. */
export function entryOf(value: unknown): Entry {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Entry) : {};
}

export function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** A scalar as text; undefined when it is absent, null or empty. */
export function text(value: unknown): string | undefined {
  const isScalar = typeof value === "string" || typeof value === "number" || typeof value === "boolean";
  return isScalar && value !== "" ? String(value) : undefined;
}

export function flag(value: unknown): boolean {
  return value === true || value === "true";
}
