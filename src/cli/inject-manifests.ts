import { readdir, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { AgentError } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import { readInput, readNamedFile } from "./named-path.ts";

/** One document of a file. */
export interface ManifestText {
  readonly text: string;
  /** The file's name, as it was given, or `stdin`. */
  readonly source: string;
  /** Where it begins in the file, counted from 1. */
  readonly firstLine: number;
}

/**
 * The documents of all that is named, in its order; of a folder the .yaml, .yml and .json files in it, by name. Rejects with
 * USAGE for what does not exist, FILE_UNREADABLE, or MANIFEST_INVALID.
 */
export async function readManifests(paths: readonly string[], host: Host): Promise<readonly ManifestText[]> {
  const found: ManifestText[] = [];
  for (const path of paths) {
    for (const { text, source } of await readPath(path, host)) found.push(...documentsOf(text, source));
  }
  return found;
}

interface NamedText {
  readonly text: string;
  readonly source: string;
}

async function readPath(path: string, host: Host): Promise<readonly NamedText[]> {
  if (path === "-") return [{ text: await readStdin(host), source: "stdin" }];
  const at = resolve(host.cwd, path);
  const isFolder = (await stat(at).catch(() => undefined))?.isDirectory() === true; // who reads it says why not
  if (!isFolder) return [{ text: await readNamedFile(at, "-f", MOST_BYTES), source: path }];
  const entries = await readdir(at, { withFileTypes: true });
  const names = entries
    .filter((entry) => !entry.isDirectory() && /\.(ya?ml|json)$/.test(entry.name))
    .map(({ name }) => name)
    .sort();
  if (names.length === 0)
    throw new AgentError("USAGE", `Cannot use the folder "${path}" (-f): it has no .yaml, .yml or .json file`);
  return Promise.all(
    names.map(async (name) => ({
      text: await readNamedFile(join(at, name), "-f", MOST_BYTES),
      source: join(path, name),
    })),
  );
}

const MOST_BYTES = 64 * 2 ** 20;

async function readStdin(host: Host): Promise<string> {
  const { text } = await readInput("-", "-f", host, MOST_BYTES);
  if (text !== "") return text;
  throw new AgentError("FILE_UNREADABLE", "Cannot read the manifests from stdin: it is empty or closed");
}

/** Between lines that begin with `---`; what is only space or comment is none. */
function documentsOf(text: string, source: string): readonly ManifestText[] {
  const documents: ManifestText[] = [];
  let [lines, firstLine]: [string[], number] = [[], 1];
  const finish = (end: string): void => {
    const document = lines.join("\n") + end;
    if (!lines.every((line) => /^\s*(#.*)?$/.test(line))) documents.push({ text: document, source, firstLine });
  };
  for (const [at, line] of text.split("\n").entries()) {
    if (!/^---(\s|$)/.test(line)) {
      lines.push(line);
      continue;
    }
    finish("\n");
    [lines, firstLine] = [/^---\s*(#.*)?$/.test(line) ? [""] : [line.replace(/^---/, "   ")], at + 1];
  }
  finish("");
  return documents;
}
