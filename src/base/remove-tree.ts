import { constants } from "node:fs";
import { open, readdir, rm, rmdir, unlink } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { systemCode } from "./errors.ts";
import { canHoldFolders, holdFolder } from "./trust.ts";

/**
 * Removes a file, or a folder with all that is in it; absent is fine. Each folder is opened and emptied as what it is:
 * Node's own recursive `rm` goes by names, and who may write in one of the folders could put a link in the place of
 * another, to have what it leads to removed. Off Linux it is that `rm`. Rejects with UNTRUSTED_PATH when a link of another
 * user leads there, or with the system's error.
 */
export async function removeTree(path: string): Promise<void> {
  if (!canHoldFolders) return rm(path, { recursive: true, force: true });
  try {
    await using folder = await holdFolder(dirname(path));
    await removeFrom(folder.at(basename(path)));
  } catch (error) {
    if (systemCode(error) !== "ENOENT") throw error;
  }
}

async function removeFrom(path: string): Promise<void> {
  try {
    return await unlink(path);
  } catch (error) {
    if (systemCode(error) === "ENOENT") return;
    if (systemCode(error) !== "EISDIR") throw error;
  }
  await using folder = await open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  const here = `/proc/self/fd/${folder.fd}`;
  for (const name of await readdir(here)) await removeFrom(`${here}/${name}`);
  await rmdir(path);
}
