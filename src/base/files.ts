import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { mkdir, open, rename, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { AgentError, describeError } from "./errors.ts";

export interface WriteOptions {
  /** Permission bits of the file, exactly, whatever the umask. Default 0600. */
  readonly mode?: number;
  /** Permission bits for folders that have to be created. Default 0700. */
  readonly folderMode?: number;
  /** False: a missing folder is a failure. Default true. */
  readonly mayCreateFolder?: boolean;
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
 * file as it was. The temporary file is created exclusively, so a planted link is never followed.
 * Rejects with FILE_UNWRITABLE.
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
  const { mode = 0o600, folderMode = 0o700, mayCreateFolder = true } = options;
  const temporary = `${path}.${randomBytes(6).toString("hex")}.tmp`;
  let isThere = false;
  const discard = async (): Promise<void> => {
    if (isThere) await unlink(temporary).catch(() => undefined); // the write's own failure is what matters
  };
  try {
    if (mayCreateFolder) await mkdir(dirname(path), { recursive: true, mode: folderMode });
    const file = await open(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, mode);
    isThere = true;
    try {
      await file.chmod(mode);
      await file.writeFile(content);
    } finally {
      await file.close();
    }
  } catch (error) {
    await discard();
    throw unwritable(path, error);
  }
  return {
    async commit() {
      try {
        await rename(temporary, path);
        isThere = false;
      } catch (error) {
        throw unwritable(path, error);
      }
    },
    discard,
  };
}

function unwritable(path: string, error: unknown): AgentError {
  return new AgentError("FILE_UNWRITABLE", `Cannot write "${path}": ${describeError(error)}`, { cause: error });
}
