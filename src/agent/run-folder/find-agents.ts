import { readdir, readFile, readlink } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { trustedUsers } from "../../base/index.ts";
import { ownerOf, startOf } from "../../host/index.ts";
import { PATHS } from "../../istio/index.ts";
import { type RunFile, readOwnRunFile, runFilePath } from "./read-run-file.ts";
import { temporaryRunFolders } from "./temporary-folders.ts";

/** An agent that runs on this machine. */
export interface FoundAgent extends RunFile {
  readonly runFolder: string;
}

/**
 * The agents of this machine, as far as this user may look, by pid: by the folders that processes work in or name on their
 * command lines, and by the folders that `up` and `run` make in `temporary`. Where several lead to one agent, the first
 * counts of: what processes of this user or root say, what those of others say, a temporary folder. Only Linux shows
 * processes. An agent that is gone is not among them, whatever it left. Never rejects.
 */
export async function findAgents(temporary: readonly string[] = ["/tmp"]): Promise<readonly FoundAgent[]> {
  const names = await readdir("/proc").catch(() => []); // no Linux
  const [made, seen] = await Promise.all([
    Promise.all([...new Set(temporary)].map(temporaryRunFolders)),
    Promise.all(names.filter((name) => /^\d+$/.test(name)).map(placesOf)),
  ]);
  const ours = seen.filter(({ isTrusted }) => isTrusted);
  const others = seen.filter(({ isTrusted }) => !isTrusted);
  const places = [...[...ours, ...others].flatMap(({ places: all }) => all), ...made.flat().map(placeIn)];
  const found = await Promise.all(distinct(places, ({ path }) => path).map(agentIn));
  const agents = found.filter((one) => one !== undefined);
  return distinct(agents, ({ pid }) => pid).sort((a, b) => a.pid - b.pid);
}

/** Where a run file may be, and the folder whose agent it would be. */
interface Place {
  readonly path: string;
  readonly runFolder: string;
}

const placeIn = (runFolder: string): Place => ({ path: resolve(runFolder, runFilePath(PATHS.config)), runFolder });

/** What a process says of places. Anybody may name any folder, so that of others is only believed where nobody else says more. */
interface Seen {
  readonly isTrusted: boolean;
  readonly places: readonly Place[];
}

/** Of an agent the folder that it works in or names; of its Envoy the one of its configuration (`-c`). */
async function placesOf(pid: string): Promise<Seen> {
  try {
    const [cwd, commandLine, owner] = await Promise.all([
      readlink(`/proc/${pid}/cwd`),
      readFile(`/proc/${pid}/cmdline`, "utf8"),
      ownerOf(Number(pid)),
    ]);
    const words = commandLine.split("\0");
    const named = flagValue(words, "--run-folder");
    const configFile = flagValue(words, "-c");
    const places = [
      placeIn(cwd),
      ...(named === undefined ? [] : [placeIn(resolve(cwd, named))]),
      ...(configFile === undefined ? [] : [placeBeside(resolve(cwd, configFile))]),
    ];
    return { isTrusted: owner !== undefined && trustedUsers().has(owner), places };
  } catch {
    return { isTrusted: false, places: [] }; // it is gone, or another user's
  }
}

/** The folder of the configuration stands for the run folder where that has another `configPath` than the usual. */
function placeBeside(configFile: string): Place {
  const folder = dirname(configFile);
  const usual = resolve("/", PATHS.config);
  return { path: runFilePath(folder), runFolder: folder.endsWith(usual) ? resolve(folder, "../../..") : folder };
}

function flagValue(words: readonly string[], flag: string): string | undefined {
  const at = words.indexOf(flag);
  return at < 0 ? words.find((word) => word.startsWith(`${flag}=`))?.slice(flag.length + 1) : words[at + 1];
}

async function agentIn({ path, runFolder }: Place): Promise<FoundAgent | undefined> {
  try {
    const found = await readOwnRunFile(path);
    const { pid, start } = found;
    return start !== undefined && (await startOf(pid)) === start ? { ...found, runFolder } : undefined;
  } catch {
    return undefined; // most folders have none, and one of somebody else's is not believed
  }
}

function distinct<T>(all: readonly T[], key: (one: T) => unknown): T[] {
  return [...new Map(all.map((one) => [key(one), one] as const).toReversed()).values()].toReversed();
}
