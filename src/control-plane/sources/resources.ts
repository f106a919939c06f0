import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { AgentError, describeError, readTextFile } from "../../base/index.ts";
import type { EnvoyTypes } from "../../proto/envoy-types.ts";
import type { ResourceGroup } from "../ads/snapshot.ts";
import { parseDocuments, type SourceText } from "./parse-document.ts";

/** What `${NAME}` stands for. */
export type Values = Readonly<Record<string, string>>;

/**
 * Reads every .yaml and .yml file below `folder`, in the order of their names. Rejects with RESOURCES_INVALID, naming
 * file, place and field, or FILE_UNREADABLE; one bad document rejects the whole read.
 */
export async function readResources(folder: string, values: Values, types: EnvoyTypes): Promise<ResourceGroup[]> {
  const groups: ResourceGroup[] = [];
  for (const file of await yamlFiles(folder)) {
    groups.push(...parseResources({ file, text: await readText(file) }, values, types));
  }
  return groups;
}

/** Replaces `${NAME}` and `${NAME:-default}`, then reads the documents. Throws RESOURCES_INVALID. */
export function parseResources({ file, text }: SourceText, values: Values, types: EnvoyTypes): ResourceGroup[] {
  return parseDocuments({ file, text: replaceValues(file, text, values) }, types);
}

async function yamlFiles(folder: string): Promise<string[]> {
  try {
    const names = await readdir(folder, { recursive: true, encoding: "utf8" });
    return names
      .filter((name) => /\.ya?ml$/.test(name))
      .sort()
      .map((name) => join(folder, name));
  } catch (error) {
    throw unreadable(`the folder "${folder}"`, error);
  }
}

async function readText(file: string): Promise<string> {
  try {
    return await readTextFile(file);
  } catch (error) {
    throw unreadable(`"${file}"`, error);
  }
}

function replaceValues(file: string, text: string, values: Values): string {
  return text.replace(
    /\$\{([A-Z_][A-Z0-9_]*)(?::-([^}]*))?\}/g,
    (reference, name: string, fallback: string | undefined, at: number) => {
      const value = (Object.hasOwn(values, name) ? values[name] : undefined) ?? fallback;
      if (value !== undefined) return value;
      const line = text.slice(0, at).split("\n").length;
      throw new AgentError(
        "RESOURCES_INVALID",
        `Cannot use "${file}", line ${line}: ${reference} has neither a value nor a default`,
      );
    },
  );
}

function unreadable(what: string, cause: unknown): AgentError {
  return new AgentError("FILE_UNREADABLE", `Cannot read ${what}: ${describeError(cause)}`, { cause });
}
