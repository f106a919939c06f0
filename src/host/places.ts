import { mkdtemp, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import { AgentError, describeError, trustedUsers, untrusted } from "../base/index.ts";
import type { Host } from "./host.ts";

type Env = Host["env"];

/** What `cwd` of the process says. Throws FILE_UNREADABLE when that folder was removed. */
export function workingDirectory(cwd: () => string): string {
  try {
    return cwd();
  } catch (error) {
    throw new AgentError("FILE_UNREADABLE", "Cannot start in the working directory: it was removed", {
      hint: "Change to a folder that exists",
      cause: error,
    });
  }
}

/** A folder for temporary files, and what names it. */
export interface TemporaryPlace {
  /** Absolute. */
  readonly folder: string;
  /** Stands in messages after the folder. */
  readonly from: string;
}

/** `TMPDIR`, else `/tmp`: POSIX, "Environment Variables". A relative `TMPDIR` starts at the working directory. */
export function temporaryPlace({ env, cwd }: Pick<Host, "env" | "cwd">): TemporaryPlace {
  const given = env.TMPDIR ?? "";
  return given === "" ? DEFAULT_TEMPORARY_PLACE : { folder: resolve(cwd, given), from: "TMPDIR" };
}

/** Its path is short on every system. */
export const DEFAULT_TEMPORARY_PLACE: TemporaryPlace = { folder: "/tmp", from: "the default" };

/**
 * Makes an empty folder, mode 0700, whose name is `prefix` and six random characters. The caller removes it. Rejects
 * with FILE_UNWRITABLE, or UNTRUSTED_PATH when TMPDIR is another user's, who could put another folder in its place.
 */
export async function makeTemporaryFolder({ folder, from }: TemporaryPlace, prefix: string): Promise<string> {
  const owner = from === "TMPDIR" ? (await stat(folder).catch(() => undefined))?.uid : undefined;
  if (owner !== undefined && !trustedUsers().has(owner))
    throw untrusted(folder, `is TMPDIR and belongs to uid ${owner}`);
  try {
    return await mkdtemp(join(folder, prefix));
  } catch (error) {
    const text = `Cannot make a temporary folder in "${folder}" (${from}): ${describeError(error)}`;
    const hint = "Free space or grant access there, or set TMPDIR to a writable folder";
    throw new AgentError("FILE_UNWRITABLE", text, { hint, cause: error });
  }
}

/**
 * The user's folder for files of that kind, absolute: the variable, else `otherwise` below the home folder. A relative
 * value does not count. Source: XDG Base Directory Specification.
 */
export function xdgFolder(env: Env, name: "XDG_CACHE_HOME" | "XDG_STATE_HOME", otherwise: string): string {
  const given = env[name] ?? "";
  return isAbsolute(given) ? given : join(homeFolder(env), otherwise);
}

/** `HOME`, else that of the user database. A user without either has `/`, as containers set it. */
function homeFolder({ HOME = "" }: Env): string {
  if (isAbsolute(HOME)) return HOME;
  try {
    const found = homedir(); // a relative HOME of the process comes back as it is
    return isAbsolute(found) ? found : "/";
  } catch {
    return "/"; // the user id has no entry
  }
}
