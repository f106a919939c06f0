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
  const { mode = 0o600, folderMode = 0o700 } = options;
  const temporary = `${path}.${randomBytes(6).toString("hex")}.tmp`;
  let isCreated = false;
  try {
    await mkdir(dirname(path), { recursive: true, mode: folderMode });
    const file = await open(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, mode);
    isCreated = true;
    try {
      await file.chmod(mode);
      await file.writeFile(content);
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    if (isCreated) await unlink(temporary).catch(() => undefined); // the write's own failure is what matters
    throw new AgentError("FILE_UNWRITABLE", `Cannot write "${path}": ${describeError(error)}`, { cause: error });
  }
}
