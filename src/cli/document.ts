import { escapeText } from "../base/index.ts";
import type { Host } from "../host/index.ts";

/** For programs. */
export const DOCUMENT_FLAG = {
  name: "output",
  shorthand: "o",
  type: "string",
  default: undefined,
  help: "For programs",
  value: "json|yaml",
} as const;

export interface DocumentOptions {
  readonly form: string;
  /** One of many: JSON in one line, YAML after `---`. Default false. */
  readonly isOneOfMany?: boolean;
  /** Columns of JSON. Default 2. */
  readonly indent?: number;
  /** Whether YAML has its names in order. Default false. */
  readonly isSorted?: boolean;
}

/** Prints a value for programs. What steers a terminal stays escaped in both forms. */
export async function writeDocument(
  { stdout }: Pick<Host, "stdout">,
  value: unknown,
  { form, isOneOfMany = false, indent = 2, isSorted = false }: DocumentOptions,
): Promise<void> {
  if (form === "json") {
    stdout.write(escapeText(`${JSON.stringify(value, null, isOneOfMany ? undefined : indent)}\n`));
    return;
  }
  const { stringify } = await import("yaml");
  const plain: unknown = JSON.parse(JSON.stringify(value)); // as a JSON reader gets it
  const options = { lineWidth: 0, sortMapEntries: isSorted };
  const text = stringify(plain, options);
  const safe = escapeText(text) === text ? text : stringify(plain, { ...options, defaultStringType: "QUOTE_DOUBLE" });
  stdout.write(`${isOneOfMany ? "---\n" : ""}${escapeText(safe)}`); // in double quotes an escape means the character
}
