import { randomBytes } from "node:crypto";
import { lstatSync } from "node:fs";
import { dirname } from "node:path";
import {
  AgentError,
  describeError,
  type Logger,
  removeFile,
  type Trusted,
  trustedUsers,
  writeFileAtomically,
} from "../../base/index.ts";
import type { AgentConfig } from "../../config/index.ts";
import { type EnvoyMark, endStaleEnvoy, isSameEnvoy, markEnvoy } from "../../envoy/left-behind/index.ts";
import { removeSharedMemory } from "../../envoy/supervisor/index.ts";
import { startOf } from "../../host/index.ts";
import { makeRunFolder } from "./make-run-folder.ts";
import { inRunFolder, runAs } from "./paths.ts";
import { type RunFile, readOwnRunFile, readRunFile, runFilePath } from "./read-run-file.ts";

interface StatusPlace {
  readonly port: number;
  /** `host:port`. */
  readonly address?: string;
}

/** A folder that belongs to this agent. Disposing it gives it back. */
export interface ClaimedFolder extends AsyncDisposable {
  /** Each Envoy of this agent has it in its environment (`RUN_VARIABLE`); by it the next agent knows them. */
  readonly secret: string;
  /** The agent listens now; port 0 without a status server. */
  noteStatus(status: StatusPlace): void;
  /** An Envoy was started. */
  noteEnvoy(pid: number, command: Pick<EnvoyMark, "binary" | "configFile">): void;
}

/**
 * Takes the run folder, before anything is bound or written: ends what Envoy an agent that is gone left there, removes
 * the memory that those shared, and writes the run file, mode 0600. What another user may have written there is passed
 * over, with a warning. Rejects with RUN_FOLDER_IN_USE when an agent lives in it, or FILE_UNWRITABLE. Two that start in
 * the same moment both come through; the sockets in the folder part them.
 */
export async function claimRunFolder(config: AgentConfig, log: Logger): Promise<ClaimedFolder> {
  const path = inRunFolder(config, runFilePath(config.proxy.configPath));
  const owner = runAs(config, process.getuid?.());
  const [earlier, start] = await Promise.all([readEarlier(path, trustedUsers(owner?.uid), log), startOf(process.pid)]);
  if (earlier !== undefined) {
    await refuseLivingAgent(earlier, path);
    await Promise.all(earlier.envoys.map((mark) => endStaleEnvoy(mark, log)));
    await removeStaleMemory(earlier.envoys);
  }
  const place = await makeRunFolder(dirname(path), { owner });
  const folder = new RunFolder({ path, place, log }, { pid: process.pid, start, envoys: [] });
  try {
    await folder.write();
    return folder;
  } catch (error) {
    await place[Symbol.asyncDispose]();
    throw error;
  }
}

/** A killed Envoy cannot remove it, and no agent uses its base id again. */
async function removeStaleMemory(envoys: readonly EnvoyMark[]): Promise<void> {
  for (const { baseId } of envoys) {
    if (baseId === undefined) continue;
    const sharing = envoys.filter((other) => other.baseId === baseId);
    const living = await Promise.all(sharing.map(isSameEnvoy));
    if (!living.includes(true)) await removeSharedMemory(baseId).catch(() => undefined); // 104 bytes stay
  }
}

/** Whether the agent that wrote this run file, and all of its Envoys, are dead; false where that is not known. */
export async function isAbandoned(path: string): Promise<boolean> {
  const found = await readRunFile(path).catch(() => undefined);
  if (found?.start === undefined || (await isLiving(found))) return false;
  const living = await Promise.all(found.envoys.map(isSameEnvoy));
  return !living.includes(true);
}

async function isLiving({ pid, start }: RunFile): Promise<boolean> {
  return start !== undefined && (await startOf(pid)) === start;
}

async function refuseLivingAgent(earlier: RunFile, path: string): Promise<void> {
  if (!(await isLiving(earlier))) return;
  throw new AgentError(
    "RUN_FOLDER_IN_USE",
    `Cannot start in "${dirname(path)}": the agent with pid ${earlier.pid} runs there`,
    {
      hint: "Stop that one, or start in another folder",
    },
  );
}

class RunFolder implements ClaimedFolder {
  readonly #path: string;
  readonly #place: AsyncDisposable;
  readonly #log: Logger;
  readonly secret = randomBytes(16).toString("hex");
  #content: RunFile;
  /** One write after the other, so that the last word stays. */
  #last: Promise<void> = Promise.resolve();

  constructor({ path, place, log }: { path: string; place: AsyncDisposable; log: Logger }, content: RunFile) {
    this.#path = path;
    this.#place = place;
    this.#content = content;
    this.#log = log;
  }

  write(mayCreateFolder = true): Promise<void> {
    return writeFileAtomically(this.#path, `${JSON.stringify(this.#content)}\n`, { mayCreateFolder });
  }

  noteStatus({ port, address }: StatusPlace): void {
    const noted = { statusPort: port, ...(address === undefined ? {} : { statusAddress: address }) };
    this.#change(async () => ({ ...this.#content, ...noted }));
  }

  noteEnvoy(pid: number, command: Pick<EnvoyMark, "binary" | "configFile">): void {
    const marking = markEnvoy(pid, { ...command, run: this.secret }); // at once, while the pid is surely its own
    this.#change(async () => {
      const mark = await marking;
      const marks = mark === undefined ? this.#content.envoys : [...this.#content.envoys, mark];
      const living = await Promise.all(marks.map(async (one) => one === mark || (await isSameEnvoy(one))));
      return { ...this.#content, envoys: marks.filter((_, at) => living[at]) };
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#last;
    // by the file alone: the folder may be Envoy's user's
    const found = await readOwnRunFile(this.#path).catch(() => undefined);
    if (found?.pid === this.#content.pid && found.start === this.#content.start) await removeFile(this.#path);
    await this.#place[Symbol.asyncDispose]();
  }

  /** The agent runs on without it: only finding it again is at stake. */
  #change(next: () => Promise<RunFile>): void {
    this.#last = this.#last.then(async () => {
      try {
        this.#content = await next();
        await this.write(false);
      } catch (error) {
        this.#log.warn("Cannot update the run file", { path: this.#path, error: describeError(error) });
      }
    });
  }
}

async function readEarlier(path: string, owners: Trusted, log: Logger): Promise<RunFile | undefined> {
  try {
    return await readRunFile(path, owners);
  } catch (error) {
    if (isThere(path))
      log.warn("Ignoring files that an earlier agent may have left", { path, reason: describeError(error) });
    return undefined;
  }
}

function isThere(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch {
    return false;
  }
}
