import { basename, dirname, join } from "node:path";
import { AgentError, openTrustedFolder, readTrustedFile, type Trusted, trustedUsers } from "../../base/index.ts";
import type { EnvoyMark } from "../../envoy/left-behind/index.ts";

/** What a running agent leaves in its folder, so that `pilotboat status` and the next agent find it. */
export interface RunFile {
  readonly pid: number;
  /** When that process started; another one with the same pid has another. */
  readonly start: string | undefined;
  /** Absent until the agent listens; 0 where it has no status server. */
  readonly statusPort?: number;
  /** Where the status port really listens, `host:port`: the host may be `[::]` or `0.0.0.0`. */
  readonly statusAddress?: string;
  /** Every Envoy of this agent that may still run. */
  readonly envoys: readonly EnvoyMark[];
}

/** `<configPath>/agent.json`. */
export function runFilePath(configPath: string): string {
  return join(configPath, "agent.json");
}

/** Only the Envoys that run are in it: one, or three. */
const MOST_BYTES = 64 * 1_024;

/**
 * Undefined when there is none, or nothing that an agent wrote. Only a folder that nobody but `owners` can change counts,
 * all the way up, and a file of ours or root's: by it processes are ended. Rejects with UNTRUSTED_PATH.
 */
export async function readRunFile(path: string, owners: Trusted = trustedUsers()): Promise<RunFile | undefined> {
  try {
    await using folder = await openTrustedFolder(dirname(path), owners);
    return parseRunFile(await readTrustedFile(folder.at(basename(path)), trustedUsers(), MOST_BYTES));
  } catch (error) {
    if (error instanceof AgentError) throw error;
    return undefined; // none, or cut off: nobody to find by it
  }
}

/**
 * The same by the file alone, in whatever folder: enough to know whom to ask, because one of ours or root has written it.
 * Rejects with UNTRUSTED_PATH, or with what is wrong with the file.
 */
export async function readOwnRunFile(path: string): Promise<RunFile> {
  const found = parseRunFile(await readTrustedFile(path, trustedUsers(), MOST_BYTES));
  if (found === undefined) throw new Error("no agent wrote it");
  return found;
}

/** Throws for what is no JSON. */
function parseRunFile(text: string): RunFile | undefined {
  const found = JSON.parse(text) as Partial<RunFile> | null;
  const { pid, start, statusPort, statusAddress, envoys } = found ?? {};
  if (!isPid(pid, 1) || (start !== undefined && typeof start !== "string")) return undefined;
  const port = Number.isInteger(statusPort) && Number(statusPort) >= 0 && Number(statusPort) < 65_536;
  return {
    pid,
    start,
    envoys: Array.isArray(envoys) ? envoys.filter(isMark) : [],
    ...(port ? { statusPort: Number(statusPort) } : {}),
    ...(typeof statusAddress === "string" ? { statusAddress } : {}),
  };
}

function isPid(pid: unknown, least: number): pid is number {
  return Number.isSafeInteger(pid) && Number(pid) >= least;
}

/** Only with the secret of its run: without it anything that looks like an Envoy would pass for one. */
function isMark(mark: Partial<EnvoyMark> | null): mark is EnvoyMark {
  if (mark === null || typeof mark !== "object" || !isPid(mark.pid, 2) || !Number.isSafeInteger(mark.uid)) return false;
  const words = [mark.start, mark.binary, mark.configFile, mark.run];
  return (
    words.every((word) => typeof word === "string" && word !== "") &&
    (mark.baseId === undefined || (Number.isSafeInteger(mark.baseId) && mark.baseId >= 0))
  );
}
