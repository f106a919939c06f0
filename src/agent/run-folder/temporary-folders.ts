import { readdir } from "node:fs/promises";
import { join } from "node:path";

/** What the name of a run folder that nobody named begins with, best first; six random characters follow. */
export const RUN_FOLDER_PREFIXES = ["pilotboat-", "pb-"] as const;
const RUN_FOLDER = new RegExp(`^(${RUN_FOLDER_PREFIXES.join("|")})[A-Za-z0-9]{6}$`);

/** The folders of such names, whoever made them. Never rejects. */
export async function temporaryRunFolders(inside: string): Promise<readonly string[]> {
  const names = await readdir(inside).catch(() => []); // nothing to see
  return names.filter((name) => RUN_FOLDER.test(name)).map((name) => join(inside, name));
}
