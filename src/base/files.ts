import { randomBytes } from "node:crypto";
import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  mkdirSync,
  openSync,
  renameSync,
  type Stats,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname } from "node:path";
import { AgentError, describeError, systemCode } from "./errors.ts";
import { kindOfPlace } from "./read-file.ts";
import { holdFolder, type TrustedFolder } from "./trust.ts";

/** A user and group of the machine, by number. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

export interface WriteOptions {
  /** Permission bits of the file, exactly, whatever the umask. Default 0600. */
  readonly mode?: number;
  /** Permission bits for folders that have to be created. Default 0700. */
  readonly folderMode?: number;
  /** False: a missing folder is a failure. Default true. */
  readonly mayCreateFolder?: boolean;
  /** The owner of the file. Default: the user that writes it. */
  readonly owner?: Owner | undefined;
}

/** A file that is complete on disk under a temporary name. */
export interface StagedFile {
  /** Takes the place of the file it is meant for. Rejects with FILE_UNWRITABLE. */
  commit(): Promise<void>;
  /** Removes what was not committed. */
  discard(): Promise<void>;
}

/**
 * Replaces a file as a whole: readers see the old or the new content, never a part, and a full disk leaves the old
 * file as it was. The temporary file is created exclusively and in the open folder, so a planted link is never followed.
 * A device, FIFO or socket at that place stays. Rejects with FILE_UNWRITABLE, or with UNTRUSTED_PATH when a link of another
 * user leads there.
 */
export async function writeFileAtomically(
  path: string,
  content: string | Uint8Array,
  options: WriteOptions = {},
): Promise<void> {
  const staged = await stageFile(path, content, options);
  try {
    await staged.commit();
  } finally {
    await staged.discard();
  }
}

/** The first half of `writeFileAtomically`, for files that change together: stage all, then commit all. */
export async function stageFile(
  path: string,
  content: string | Uint8Array,
  options: WriteOptions = {},
): Promise<StagedFile> {
  const { mode = 0o600, folderMode = 0o700, mayCreateFolder = true, owner } = options;
  const name = basename(path);
  const folder = await enterFolder(path, mayCreateFolder ? folderMode : undefined);
  const temporary = folder.at(`${name}.${randomBytes(6).toString("hex")}.tmp`);
  let isStaged = false;
  const discard = async (): Promise<void> => {
    if (isStaged) unlinkIfThere(temporary); // the write's own failure is what matters
    await folder[Symbol.asyncDispose]();
  };
  try {
    refuseOther(folder.at(name));
    const file = openSync(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, mode);
    isStaged = true;
    try {
      fchmodSync(file, mode);
      if (owner !== undefined) fchownSync(file, owner.uid, owner.gid);
      writeFileSync(file, content);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    await discard();
    throw unwritable(path, error);
  }
  return {
    async commit() {
      try {
        renameSync(temporary, folder.at(name));
        isStaged = false;
      } catch (error) {
        throw unwritable(path, error);
      }
    },
    discard,
  };
}

/** As root, a rename would replace even /dev/null. A folder is refused by the rename itself. */
function refuseOther(path: string): void {
  const found = lookAt(path); // mostly there is nothing yet
  if (found === undefined || found.isFile() || found.isDirectory()) return;
  throw new Error(`it is ${kindOfPlace(found)}, wanted a regular file`);
}

/** What is there, behind links; undefined for whatever keeps us from seeing it. */
function lookAt(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

function unlinkIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // it is gone, or stays
  }
}

/** Removes a file, or a link itself, in the folder that its path means; absent is fine. Rejects with the system's error. */
export async function removeFile(path: string): Promise<void> {
  try {
    await using folder = await holdFolder(dirname(path));
    unlinkSync(folder.at(basename(path)));
  } catch (error) {
    if (systemCode(error) !== "ENOENT") throw error;
  }
}

/** Gives a file another name in its folder. Rejects with UNTRUSTED_PATH, or with the system's error. */
export async function renameFile(path: string, name: string): Promise<void> {
  await using folder = await holdFolder(dirname(path));
  renameSync(folder.at(basename(path)), folder.at(name));
}

async function enterFolder(path: string, modeToMake: number | undefined): Promise<TrustedFolder> {
  try {
    if (modeToMake !== undefined) await makeFolder(dirname(path), modeToMake);
    return await holdFolder(dirname(path));
  } catch (error) {
    throw error instanceof AgentError ? error : unwritable(path, error);
  }
}

/**
 * Makes a folder and those above it that are missing, each in the open one above, so that no link of another user has it
 * made elsewhere. Not by Node's recursive `mkdir`: on a file system that refuses new folders with ENOENT, as /proc does,
 * that one never returns. Rejects with UNTRUSTED_PATH, or with the system's error.
 */
export async function makeFolder(path: string, mode = 0o700): Promise<void> {
  if (lookAt(path) !== undefined) return;
  const above = dirname(path);
  if (above !== path) await makeFolder(above, mode);
  await using folder = await holdFolder(above);
  try {
    mkdirSync(folder.at(basename(path)), mode);
  } catch (error) {
    if (systemCode(error) !== "EEXIST") throw error; // another process may make the same folder at the same time
  }
}

function unwritable(path: string, error: unknown): AgentError {
  const text = `Cannot write "${path}": ${describeError(error)}`;
  return new AgentError("FILE_UNWRITABLE", text, { hint: writeHint(error), cause: error });
}

/** What helps when the machine refuses to write. */
export function writeHint(error: unknown): string {
  const isFull = ["ENOSPC", "EDQUOT"].includes(systemCode(error) ?? "");
  return isFull ? "Free space on that file system" : "Give this user write access there";
}
