import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { readTextFile } from "../../base/index.ts";
import { describeDifference, diffByPath } from "../../bootstrap/index.ts";
import { configFileOf } from "../../envoy/index.ts";
import type { SpawnOptions } from "../../envoy/supervisor/index.ts";
import { hideSecrets } from "../../istio/index.ts";
import type { JsonValue } from "../../istio/mesh/index.ts";

/** What an Envoy is started with, for comparison with the next start. */
export interface StartDocument extends Record<string, JsonValue> {
  readonly envoy: string;
  /** By which another executable at the same place is known. */
  readonly executable: string;
  readonly arguments: Record<string, string>;
  readonly bootstrap: JsonValue;
}

/** A start as a document: its arguments, and the content of its bootstrap as far as that is JSON. */
export async function describeStart({ binary, args, cwd }: SpawnOptions): Promise<StartDocument> {
  const file = configFileOf(args);
  const content = await readTextFile(resolve(cwd, file), { mostBytes: 256 * 1_024 * 1_024 });
  return {
    envoy: binary,
    executable: await markOf(binary),
    arguments: byFlag(args.filter((word) => word !== file)),
    bootstrap: parse(content),
  };
}

async function markOf(binary: string): Promise<string> {
  const found = await stat(binary).catch(() => undefined); // one that is gone by now differs from every other
  return found === undefined ? "gone" : `${found.size} bytes of ${found.mtime.toISOString()}`;
}

/** `["-l", "info", "--enable-core-dump"]` as `{ "-l": "info", "--enable-core-dump": "" }`. */
function byFlag(args: readonly string[]): Record<string, string> {
  const isFlag = (word: string | undefined): boolean => word?.startsWith("-") === true;
  const named = args.flatMap((word, at) => {
    const value = args[at + 1];
    return isFlag(word) ? [[word, value === undefined || isFlag(value) ? "" : value] as const] : [];
  });
  return Object.fromEntries(named);
}

function parse(content: string): JsonValue {
  try {
    return JSON.parse(content) as JsonValue;
  } catch {
    return content; // a template's YAML: line by line is better than not at all
  }
}

/** By path. A changed secret is named and not shown. */
export function differencesOf(before: JsonValue, after: JsonValue): string[] {
  const [shownBefore, shownAfter] = [before, after].map((one) => hideSecrets(one).document as JsonValue);
  const shown = new Map(diffByPath(shownBefore ?? null, shownAfter ?? null).map((one) => [one.path, one]));
  return diffByPath(before, after).map(({ path }) => {
    const difference = shown.get(path);
    return difference === undefined ? `~ ${path}: a secret, not shown` : describeDifference(difference);
  });
}
