import { escapeText } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import type { ManifestText } from "./inject-manifests.ts";
import { lineDiff } from "./line-diff.ts";

/** A manifest as it was and as it is now; the same value where nothing changed. */
export interface InjectedManifest extends ManifestText {
  readonly before: unknown;
  readonly after: unknown;
}

export interface PrintOptions {
  readonly output: "json" | "yaml";
  /** Print what changed instead. */
  readonly isDiff: boolean;
}

/** Prints what nobody changed as it was written, comments included. */
export async function printManifests(
  manifests: readonly InjectedManifest[],
  { output, isDiff }: PrintOptions,
  { stdout }: Pick<Host, "stdout">,
): Promise<void> {
  const { stringify } = await import("yaml");
  const yamlOf = (value: unknown): string =>
    stringify(value, { version: "1.1", lineWidth: 0, indentSeq: false, aliasDuplicateObjects: false });
  if (isDiff) {
    for (const { source, firstLine, before, after } of manifests.filter((one) => one.before !== one.after)) {
      stdout.write(escapeText(lineDiff(yamlOf(before), yamlOf(after), `${source}:${firstLine}`)));
    }
    return;
  }
  if (output === "json") {
    for (const { after } of manifests) stdout.write(`${JSON.stringify(after, null, 2)}\n`);
    return;
  }
  const texts = manifests.map(({ text, before, after }) => (before === after ? asWritten(text) : yamlOf(after)));
  stdout.write(texts.join("---\n"));
}

/** Without the empty lines around the marks of documents. What indents, or belongs to a block scalar at the end, stays. */
function asWritten(text: string): string {
  const begun = text.replace(/^(?:[ \t\r]*\n)+/, "");
  return begun.endsWith("\n") ? begun : `${begun}\n`;
}
