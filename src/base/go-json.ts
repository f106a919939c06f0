/** As Go's encoding/json writes a map: compact, with sorted keys and escapes; a bigint keeps all its digits. */
export function goJson(value: unknown): string {
  return escapeGoJson(compact(value));
}

/** JSON with the characters escaped that Go's encoding/json escapes: `<`, `>`, `&`, U+2028 and U+2029. */
export function escapeGoJson(json: string): string {
  return json.replace(/[<>&\u2028\u2029]/g, (found) => `\\u${found.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

function compact(value: unknown): string {
  if (typeof value === "bigint") return String(value);
  if (Array.isArray(value)) return `[${value.map(compact).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value ?? null);
  const members = Object.entries(value).filter(([, one]) => one !== undefined);
  return `{${members
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, one]) => `${JSON.stringify(key)}:${compact(one)}`)
    .join(",")}}`;
}
