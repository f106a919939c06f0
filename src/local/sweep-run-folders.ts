import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { isAbandoned, runFilePath } from "../agent/run-folder/index.ts";
import { describeError, type Logger, lookAtSocketPlace, removeTree } from "../base/index.ts";
import { PATHS } from "../istio/index.ts";

/** What the name of a run folder that nobody named begins with, best first; six random characters follow. */
export const RUN_FOLDER_PREFIXES = ["pilotboat-", "pb-"] as const;
const RUN_FOLDER = new RegExp(`^(${RUN_FOLDER_PREFIXES.join("|")})[A-Za-z0-9]{6}$`);

/**
 * Removes the run folders, with token and bootstrap, of agents that were killed before they could. Only folders of our
 * name, our user's, whose agent is known to be dead. Never rejects.
 */
export async function sweepRunFolders(inside: string, log: Logger): Promise<void> {
  const names = await readdir(inside).catch(() => []); // nothing to see, nothing to sweep
  await Promise.all(
    names
      .filter((name) => RUN_FOLDER.test(name))
      .map(async (name) => {
        const folder = join(inside, name);
        try {
          if (!(await isOurs(folder)) || !(await isLeftBehind(folder))) return;
          await removeTree(folder);
          log.info("Removed the run folder of an agent that was killed", { folder });
        } catch (error) {
          log.warn("Cannot remove the run folder of an agent that was killed", { folder, error: describeError(error) });
        }
      }),
  );
}

async function isOurs(folder: string): Promise<boolean> {
  const found = await lstat(folder); // a link is none
  return found.isDirectory() && found.uid === process.getuid?.();
}

/** An agent of another container, which shares the folder but not the process ids, still listens on its socket. */
async function isLeftBehind(folder: string): Promise<boolean> {
  const configPath = join(folder, PATHS.config);
  if (!(await isAbandoned(runFilePath(configPath)))) return false;
  const { kind } = await lookAtSocketPlace(join(configPath, "XDS"));
  return kind === "absent" || kind === "dead";
}
