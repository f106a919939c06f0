import { join } from "node:path";
import { RUN_FOLDER_PREFIXES } from "../agent/run-folder/index.ts";
import { isSocketPathShort, type Logger } from "../base/index.ts";
import { DEFAULT_TEMPORARY_PLACE, type Host, makeTemporaryFolder, temporaryPlace, xdgFolder } from "../host/index.ts";
import { PATHS } from "../istio/index.ts";
import { sweepRunFolders } from "./sweep-run-folders.ts";

/** The longest path of a socket in a run folder. */
const LONGEST_SOCKET = PATHS.filesSocket;

/**
 * Makes the run folder of a mesh of one, in TMPDIR. Where the sockets' paths would be too long there, with a shorter
 * name, or else in /tmp: TMPDIR of macOS alone has 49 bytes. Rejects with FILE_UNWRITABLE.
 */
export function makeLocalRunFolder(host: Pick<Host, "env" | "cwd">, log: Logger): Promise<string> {
  const place = temporaryPlace(host);
  const prefix = RUN_FOLDER_PREFIXES.find((one) =>
    isSocketPathShort(join(place.folder, `${one}XXXXXX`, LONGEST_SOCKET)),
  );
  if (prefix !== undefined) return makeTemporaryFolder(place, prefix);
  log.info("The run folder is in /tmp: in TMPDIR the paths of its sockets would be too long", { TMPDIR: place.folder });
  return makeTemporaryFolder(DEFAULT_TEMPORARY_PLACE, RUN_FOLDER_PREFIXES[0]);
}

/** Where evidence of failures goes when the run folder does not outlive the run. */
export function crashFolder(env: Host["env"]): string {
  return join(xdgFolder(env, "XDG_STATE_HOME", ".local/state"), "pilotboat/crashes");
}

/** Removes what killed agents left in the places above. Never rejects. */
export async function sweepLocalRunFolders(host: Pick<Host, "env" | "cwd">, log: Logger): Promise<void> {
  const places = new Set([temporaryPlace(host).folder, DEFAULT_TEMPORARY_PLACE.folder]);
  await Promise.all([...places].map((place) => sweepRunFolders(place, log)));
}
