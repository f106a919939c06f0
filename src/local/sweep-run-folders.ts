import { lstat } from "node:fs/promises";
import { join } from "node:path";
import { isAbandoned, runFilePath, temporaryRunFolders } from "../agent/run-folder/index.ts";
import { describeError, type Logger, lookAtSocketPlace, removeTree } from "../base/index.ts";
import { PATHS } from "../istio/index.ts";

/**
 * Removes the run folders, with token and bootstrap, of agents that were killed before they could. Only folders of our
 * name, our user's, whose agent is known to be dead. Never rejects.
 */
export async function sweepRunFolders(inside: string, log: Logger): Promise<void> {
  const folders = await temporaryRunFolders(inside);
  await Promise.all(
    folders.map(async (folder) => {
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
