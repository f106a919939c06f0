import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { trustedUsers } from "../../base/index.ts";

/** What the name of a run folder that nobody named begins with, best first; six random characters follow. */
export const RUN_FOLDER_PREFIXES = ["pilotboat-", "pb-"] as const;
const RUN_FOLDER = new RegExp(`^(${RUN_FOLDER_PREFIXES.join("|")})[A-Za-z0-9]{6}$`);

/** The folders of such names that this user or root made; a link is none. Never rejects. */
export async function temporaryRunFolders(inside: string): Promise<readonly string[]> {
  const names = await readdir(inside).catch(() => []); // nothing to see
  const folders = names.filter((name) => RUN_FOLDER.test(name)).map((name) => join(inside, name));
  const areTrusted = await Promise.all(folders.map(isTrusted));
  return folders.filter((_, at) => areTrusted[at]);
}

async function isTrusted(folder: string): Promise<boolean> {
  const found = await lstat(folder).catch(() => undefined); // removed meanwhile
  return found?.isDirectory() === true && trustedUsers().has(found.uid);
}
