import { chown, readdir, stat } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import {
  AgentError,
  describeError,
  holdFolder,
  isSocketPathShort,
  judgeFolder,
  makeFolder,
  type Owner,
  removeTree,
  trustedUsers,
  untrusted,
} from "../../base/index.ts";
import type { AgentConfig } from "../../config/index.ts";
import { LONGEST_SOCKET_SUFFIX } from "../../envoy/supervisor/index.ts";
import { DEFAULT_TEMPORARY_PLACE, makeTemporaryFolder, type TemporaryPlace, temporaryPlace } from "../../host/index.ts";
import { inRunFolder, runAs } from "../run-folder/index.ts";
import type { Around } from "./around.ts";
import { hotRestart } from "./options.ts";

/** Where the Envoys of a hot restart meet. Disposing removes it with what they leave in it. */
export interface MeetingPlace extends AsyncDisposable {
  /** What the paths of their sockets begin with, as Envoy sees it. */
  readonly socketPath: string;
}

const FOLDER = "hot-restart";
const SOCKET = "e";

/**
 * Makes the folder for the sockets of a hot restart, mode 0700 and Envoy's own, where nobody else can exchange it: in the
 * run folder, else in TMPDIR, else in /tmp. Undefined without hot restart. Rejects with UNTRUSTED_PATH or
 * SOCKET_PATH_TOO_LONG when none of them will do: anybody could take Envoy's listening sockets there.
 */
export async function makeMeetingPlace(config: AgentConfig, { host, log }: Around): Promise<MeetingPlace | undefined> {
  if (hotRestart(config) === undefined) return undefined;
  const owner = runAs(config, process.getuid?.());
  const own = join(inRunFolder(config, config.proxy.configPath), FOLDER);
  const places = [
    () => makeInRunFolder(own, owner),
    ...[temporaryPlace(host), DEFAULT_TEMPORARY_PLACE].map((place) => () => makeInTemporary(place, owner)),
  ];
  let first: unknown;
  for (const make of places) {
    try {
      return await meetIn(await make(), config.cwd, owner);
    } catch (error) {
      first ??= error;
      log.info("Hot restart's sockets need another folder", { reason: describeError(error) });
    }
  }
  throw first;
}

async function makeInRunFolder(path: string, owner: Owner | undefined): Promise<string> {
  await judgeFolder(dirname(path), trustedUsers(owner?.uid));
  await removeTree(path); // what a killed agent left would be in the way
  await makeFolder(path);
  await giveTo(path, owner);
  return path;
}

async function makeInTemporary(place: TemporaryPlace, owner: Owner | undefined): Promise<string> {
  await judgeFolder(join(place.folder, FOLDER), trustedUsers()); // a name in it: that it is sticky is enough
  const path = await makeTemporaryFolder(place, `pilotboat-${FOLDER}-`);
  await giveTo(path, owner);
  return path;
}

/** The open folder, not whatever has its name by then; with nothing in it that would be given away as well. */
async function giveTo(path: string, owner: Owner | undefined): Promise<void> {
  if (owner === undefined) return;
  await using folder = await holdFolder(path);
  const { uid } = await stat(folder.here);
  const isNew = uid === process.geteuid?.() && (await readdir(folder.here)).length === 0;
  if (!isNew) throw untrusted(path, "was exchanged by another user");
  await chown(folder.here, owner.uid, owner.gid);
}

async function meetIn(folder: string, cwd: string, owner: Owner | undefined): Promise<MeetingPlace> {
  const dispose = (): Promise<void> => removeTree(folder);
  try {
    await judgeFolder(folder, trustedUsers(owner?.uid));
    return { socketPath: socketPathIn(folder, cwd), [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** Envoy starts in `cwd`; a way from there will do. */
function socketPathIn(folder: string, cwd: string): string {
  const paths = [join(relative(cwd, folder), SOCKET), join(folder, SOCKET)];
  const short = paths.find((path) => isSocketPathShort(path + LONGEST_SOCKET_SUFFIX));
  if (short !== undefined) return short;
  throw new AgentError(
    "SOCKET_PATH_TOO_LONG",
    `Cannot have sockets for hot restart in "${folder}": its path is too long`,
  );
}
