import { chownSync, existsSync, rmdirSync, statSync } from "node:fs";
import { basename, dirname } from "node:path";
import {
  AgentError,
  describeError,
  holdFolder,
  makeFolder,
  type Owner,
  openTrustedFolder,
  trustedUsers,
  writeHint,
} from "../../base/index.ts";

/** Permission bits of others to look into a folder. */
const MAY_ENTER = 0o005;

export interface RunFolderOptions {
  /** Permission bits for what has to be made. Default 0700. */
  readonly mode?: number;
  /** Who Envoy runs as, where that is another user: it looks into the folder. */
  readonly owner?: Owner | undefined;
}

/**
 * A folder that Envoy and the agent meet in. Disposing it removes those that had to be made for it, as far as they are
 * empty, so that a start that failed leaves nothing. Rejects with FILE_UNWRITABLE, or with UNTRUSTED_PATH when it cannot
 * be given to `owner` because others could have exchanged it.
 */
export async function makeRunFolder(path: string, { mode, owner }: RunFolderOptions = {}): Promise<AsyncDisposable> {
  const missing = missingFolders(path);
  try {
    await makeFolder(path, mode);
    if (owner !== undefined) {
      for (const folder of new Set([path, ...missing])) await giveFolder(folder, owner); // once given, they are not judged
    }
  } catch (error) {
    if (error instanceof AgentError) throw error;
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

/** Unless Envoy can enter it as it is. Given is the folder that was judged, whatever has its name by then. */
async function giveFolder(path: string, owner: Owner): Promise<void> {
  const { uid, mode } = statSync(path);
  if (uid === owner.uid || (mode & MAY_ENTER) === MAY_ENTER) return;
  await using folder = await openTrustedFolder(path, trustedUsers());
  chownSync(folder.here, owner.uid, owner.gid);
}

/** The deepest first. Whatever else is the matter with one, making it will tell. */
function missingFolders(path: string): string[] {
  return existsSync(path) || dirname(path) === path ? [] : [path, ...missingFolders(dirname(path))];
}

async function isRemoved(path: string): Promise<boolean> {
  try {
    await using folder = await holdFolder(dirname(path));
    rmdirSync(folder.at(basename(path)));
    return true;
  } catch {
    return false;
  }
}
