import { stringify } from "yaml";
import { oneLine } from "../base/index.ts";
import { type ConfigEntry, DEFAULT_ORIGIN, type EntryKind, formatOrigin } from "../config/index.ts";

const SECTIONS: readonly (readonly [kind: EntryKind, key: string])[] = [
  ["field", "proxyConfig"],
  ["flag", "flags"],
  ["variable", "variables"],
  ["metadata", "metadata"],
  ["header", "headers"],
  ["annotation", "annotations"],
];

/** YAML with a section for each kind of value. A value that is not the default has a comment: its source and the default. */
export function entriesAsYaml(role: string, entries: readonly ConfigEntry[]): string {
  const sections = SECTIONS.flatMap(([kind, key]) => {
    const ofKind = entries.filter((entry) => entry.kind === kind && (entry.value !== null || isSet(entry)));
    return ofKind.length === 0 ? [] : [`\n${key}:\n${ofKind.map(entryAsYaml).join("")}`];
  });
  return `role: ${role}\n${sections.join("")}`;
}

function entryAsYaml(entry: ConfigEntry): string {
  const { name, value } = entry;
  const comment = isSet(entry) ? `  # ${setBy(entry)}` : "";
  const text = stringify({ [name]: value }, { lineWidth: 0 });
  const [first = "", ...rest] = text.trimEnd().split("\n");
  return [`${first}${comment}`, ...rest].map((line) => `  ${line}\n`).join("");
}

/** `PROXY_CONFIG:1:16, default 45s`. */
function setBy(entry: ConfigEntry): string {
  const fallback = entry.kind === "metadata" || entry.kind === "header" || entry.kind === "annotation";
  return oneLine(`${formatOrigin(entry.origin)}${fallback ? "" : `, default ${valueText(entry.default)}`}`, " ");
}

export function isSet({ origin }: ConfigEntry): boolean {
  return origin.source !== DEFAULT_ORIGIN.source;
}

/** A value on one line. */
export function valueText(value: ConfigEntry["value"]): string {
  if (value === null) return "none";
  if (value === "") return '""';
  return oneLine(typeof value === "string" ? value : JSON.stringify(value), " ");
}

/** `{name: {value, origin, default}}`. */
export function entriesAsJson(role: string, entries: readonly ConfigEntry[]): string {
  const shown = entries.map(({ name, value, origin, default: fallback }) => [
    name,
    { value, origin: formatOrigin(origin), default: fallback },
  ]);
  const all = { role: { value: role, origin: "command line", default: "sidecar" }, ...Object.fromEntries(shown) };
  return `${JSON.stringify(all, null, 2)}\n`;
}
