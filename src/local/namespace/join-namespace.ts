import { resolve } from "node:path";
import { type FoundAgent, findAgents } from "../../agent/run-folder/index.ts";
import {
  AgentError,
  describeError,
  httpRequest,
  openTrustedFolder,
  poll,
  readTrustedFile,
  shellWord,
  trustedUsers,
} from "../../base/index.ts";
import { DEFAULT_TEMPORARY_PLACE, type Host, startOf, temporaryPlace } from "../../host/index.ts";
import { wayInto } from "./enter-namespace.ts";
import { filesFolder, type NamespaceNote, NOTE } from "./mesh-namespace.ts";
import type { Entrance } from "./start-inside.ts";

/** The namespace of a mesh that another process has started. */
export interface JoinedNamespace extends Entrance {
  /** Of the agent. */
  readonly pid: number;
  readonly runFolder: string;
  /** Resolves with true when that process is gone, with false once `stop` aborts. */
  isGone(stop: AbortSignal): Promise<boolean>;
}

export interface JoinOptions {
  /** Absolute. Default: the only one that runs. */
  readonly runFolder: string | undefined;
  /** Longest time until the mesh is ready. */
  readonly readyTimeoutMs: number;
  readonly stop: AbortSignal;
}

/**
 * Finds the mesh that `up --netns` has started, and waits until it is ready. Rejects with REDIRECT_NOT_POSSIBLE where none
 * runs, USAGE where several do, TIMEOUT, or the reason of `stop`.
 */
export async function joinNamespace(host: Pick<Host, "env" | "cwd">, options: JoinOptions): Promise<JoinedNamespace> {
  const agents = await findAgents([temporaryPlace(host).folder, DEFAULT_TEMPORARY_PLACE.folder]);
  const all = (await Promise.all(agents.map(namespaceOf))).filter((one) => one !== undefined);
  const { runFolder, stop, readyTimeoutMs } = options;
  const found = runFolder === undefined ? all : all.filter((one) => resolve(one.runFolder) === runFolder);
  const [joined, ...others] = found;
  if (joined === undefined) throw noneToJoin(runFolder, all);
  if (others.length > 0) throw severalToJoin(found);
  await waitUntilReady(joined, readyTimeoutMs, stop);
  return joined;
}

const MOST_BYTES = 64 * 1_024;

/** Asked in the background while an application runs. */
const GONE_PACE = { firstMs: 1_000, hurryMs: 0, factor: 1, mostMs: 1_000 };

/** Undefined for an agent whose application shares the network of the machine. The file decides what root does, so it must be ours. */
async function namespaceOf({ pid, start, runFolder }: FoundAgent): Promise<JoinedNamespace | undefined> {
  const files = filesFolder(runFolder);
  try {
    await using folder = await openTrustedFolder(files, trustedUsers());
    const note: NamespaceNote = JSON.parse(await readTrustedFile(folder.at(NOTE), trustedUsers(), MOST_BYTES));
    const isGone = (stop: AbortSignal): Promise<boolean> =>
      poll(async () => (await startOf(pid)) !== start, { stop, pace: GONE_PACE });
    return { enter: wayInto(note.path, files), variables: note.variables, pid, runFolder, isGone };
  } catch {
    return undefined;
  }
}

function noneToJoin(runFolder: string | undefined, all: readonly JoinedNamespace[]): AgentError {
  const where = runFolder === undefined ? "on this machine" : `in "${runFolder}"`;
  const text = `Cannot find a network namespace to run in: no "pilotboat up --netns" is ready ${where}`;
  const hint = all.length > 0 ? `Others run: ${named(all)}` : 'Start "pilotboat up --netns" first, or add --local';
  return new AgentError("REDIRECT_NOT_POSSIBLE", text, { hint });
}

function severalToJoin(found: readonly JoinedNamespace[]): AgentError {
  return new AgentError("USAGE", `Cannot choose a network namespace: ${found.length} meshes have one`, {
    hint: `Name one: ${named(found)}`,
  });
}

function named(all: readonly JoinedNamespace[]): string {
  return all.map(({ runFolder, pid }) => `--run-folder ${shellWord(runFolder)} (pid ${pid})`).join(", ");
}

const ASK_LIMIT_MS = 2_000;

async function waitUntilReady({ variables, pid }: JoinedNamespace, limitMs: number, stop: AbortSignal): Promise<void> {
  let last = "";
  const look = async (): Promise<boolean> => {
    try {
      const { status, body } = await httpRequest(new URL(`${variables.PILOTBOAT_STATUS_URL}/healthz/ready`), {
        method: "GET",
        timeoutMs: ASK_LIMIT_MS,
        signal: stop,
      });
      last = body.toString("utf8").trim();
      return status === 200;
    } catch (error) {
      last = describeError(error);
      return false;
    }
  };
  if (await poll(look, { stop: AbortSignal.any([stop, AbortSignal.timeout(limitMs)]) })) return;
  stop.throwIfAborted();
  const text = `Cannot enter the network namespace of pid ${pid}: its proxy was not ready within ${limitMs / 1_000} s: ${last}`;
  throw new AgentError("TIMEOUT", text, { hint: "Raise --ready-timeout, or see what that process prints" });
}
