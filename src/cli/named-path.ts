import { readFile, stat } from "node:fs/promises";
import { AgentError, describeError, systemCode } from "../base/index.ts";

// What somebody names on the command line and what is not there is a mistyped command line, whichever command it is.

/** Rejects with USAGE when there is no such folder. `word` is what named it. */
export async function checkNamedFolder(path: string, word: string): Promise<void> {
  const found = await stat(path).catch((error: unknown) => {
    if (isAbsent(error)) throw missing("folder", path, word);
    return undefined; // who reads it says why not
  });
  if (found?.isDirectory() === false) throw new AgentError("USAGE", `Cannot use "${path}" (${word}): it is no folder`);
}

/** Rejects with USAGE when there is no such file, or a folder; it is not opened. `word` is what named it. */
export async function checkNamedFile(path: string, word: string): Promise<void> {
  const found = await stat(path).catch((error: unknown) => {
    if (isAbsent(error)) throw missing("file", path, word);
    return undefined; // who reads it says why not
  });
  if (found?.isDirectory() === true) throw new AgentError("USAGE", `Cannot use "${path}" (${word}): it is a folder`);
}

/** The text of a file. Rejects with USAGE when there is none, with FILE_UNREADABLE for any other reason. */
export async function readNamedFile(path: string, word: string): Promise<string> {
  return readFile(path, "utf8").catch((error: unknown) => {
    if (isAbsent(error)) throw missing("file", path, word);
    throw new AgentError("FILE_UNREADABLE", `Cannot read "${path}": ${describeError(error)}`, { cause: error });
  });
}

function isAbsent(error: unknown): boolean {
  return systemCode(error) === "ENOENT" || systemCode(error) === "ENOTDIR";
}

function missing(kind: string, path: string, word: string): AgentError {
  return new AgentError("USAGE", `Cannot find the ${kind} "${path}" (${word})`);
}
