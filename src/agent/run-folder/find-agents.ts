import { readdir, readFile, readlink } from "node:fs/promises";
import { resolve } from "node:path";
import { startOf } from "../../host/index.ts";
import { PATHS } from "../../istio/index.ts";
import { readOwnRunFile, runFilePath } from "./read-run-file.ts";

/** An agent that runs on this machine. */
export interface FoundAgent {
  readonly pid: number;
  readonly runFolder: string;
}

/**
 * The agents of this machine, as far as this user may look: by the folders that processes work in or name on their
 * command lines. Linux only, elsewhere none. Never rejects.
 */
export async function findAgents(): Promise<readonly FoundAgent[]> {
  const names = await readdir("/proc").catch(() => []); // no Linux
  const folders = await Promise.all(names.filter((name) => /^\d+$/.test(name)).map(runFoldersOf));
  const found = await Promise.all([...new Set(folders.flat())].map(agentIn));
  return found.filter((one) => one !== undefined).sort((a, b) => a.pid - b.pid);
}

async function runFoldersOf(pid: string): Promise<string[]> {
  try {
    const [cwd, commandLine] = await Promise.all([
      readlink(`/proc/${pid}/cwd`),
      readFile(`/proc/${pid}/cmdline`, "utf8"),
    ]);
    const words = commandLine.split("\0");
    const at = words.indexOf("--run-folder");
    const named = at < 0 ? words.find((word) => word.startsWith("--run-folder="))?.slice(13) : words[at + 1];
    return named === undefined ? [cwd] : [cwd, resolve(cwd, named)];
  } catch {
    return []; // it is gone, or another user's
  }
}

async function agentIn(runFolder: string): Promise<FoundAgent | undefined> {
  try {
    const path = resolve(runFolder, runFilePath(PATHS.config));
    const { pid, start } = await readOwnRunFile(path);
    return start !== undefined && (await startOf(pid)) === start ? { pid, runFolder } : undefined;
  } catch {
    return undefined; // most folders have none, and one of somebody else's is not believed
  }
}
