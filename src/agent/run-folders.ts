import { chown, rmdir, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { AgentError, describeError, makeFolder, type Owner, writeHint } from "../base/index.ts";

export interface RunFolderOptions {
  /** Permission bits for what has to be made. Default 0700. */
  readonly mode?: number;
  /** Who Envoy runs as, where that is another user: it looks into the folder. */
  readonly owner?: Owner | undefined;
}

/**
 * A folder that Envoy and the agent meet in. Disposing it removes those that had to be made for it, as far as they are
 * empty, so that a start that failed leaves nothing. Rejects with FILE_UNWRITABLE.
 */
export async function makeRunFolder(path: string, { mode, owner }: RunFolderOptions = {}): Promise<AsyncDisposable> {
  const missing = await missingFolders(path);
  try {
    await makeFolder(path, mode);
    if (owner !== undefined) {
      for (const folder of new Set([path, ...missing])) await chown(folder, owner.uid, owner.gid);
    }
  } catch (error) {
    const text = `Cannot make folder "${path}": ${describeError(error)}`;
    throw new AgentError("FILE_UNWRITABLE", text, {
      hint: `${writeHint(error)}, or start in another folder with --run-folder`,
      cause: error,
    });
  }
  return {
    async [Symbol.asyncDispose]() {
      for (const folder of missing) {
        if (!(await isRemoved(folder))) return; // in use, as are those around it
      }
    },
  };
}

/** The deepest first. */
async function missingFolders(path: string): Promise<string[]> {
  const isThere = await stat(path).then(
    () => true,
    () => false, // whatever else is the matter, making it will tell
  );
  return isThere || dirname(path) === path ? [] : [path, ...(await missingFolders(dirname(path)))];
}

function isRemoved(folder: string): Promise<boolean> {
  return rmdir(folder).then(
    () => true,
    () => false,
  );
}
