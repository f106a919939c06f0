import { randomBytes } from "node:crypto";
import { closeSync, constants, fchownSync, fstatSync, openSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { describeError, isBun, type Owner } from "../../base/index.ts";
import { runProgram } from "../../host/index.ts";
import { pipeOfLibc } from "./libc.ts";

/** Descriptors of both ends: reading does not block, writing does. */
export interface Pipe {
  readonly reading: number;
  readonly writing: number;
}

export interface PipeOptions {
  /** Where named pipes can be made, best first. They are there only for a moment. */
  readonly folders: readonly string[];
  /** PATH, to find `mkfifo` on. */
  readonly path: string | undefined;
  /** The user that must be able to open them again; undefined: the agent's own. */
  readonly owner: Owner | undefined;
}

/** Two pipes, of mode 0600. Rejects with one reason for each way that was tried. */
export async function makePipes(options: PipeOptions): Promise<readonly [Pipe, Pipe]> {
  const ways = [
    ...(isBun ? [() => anonymousPipes(options.owner)] : []),
    ...options.folders.map((folder) => () => namedPipes(folder, options)),
  ];
  const reasons: string[] = [];
  for (const way of ways) {
    try {
      return await way();
    } catch (error) {
      reasons.push(describeError(error).trim());
    }
  }
  throw new Error([...new Set(reasons)].join("; "));
}

export function closePipe({ reading, writing }: Pipe): void {
  closeSync(reading);
  closeSync(writing);
}

async function anonymousPipes(owner: Owner | undefined): Promise<readonly [Pipe, Pipe]> {
  const made: Pipe[] = [];
  try {
    for (let count = 0; count < 2; count++) {
      const { reading, writing } = await pipeOfLibc();
      try {
        made.push(completePipe(reading, owner));
      } finally {
        closeSync(writing); // the one that does not block; Envoy's has to
      }
    }
    return made as [Pipe, Pipe];
  } catch (error) {
    for (const pipe of made) closePipe(pipe);
    throw error;
  }
}

const MKFIFO_LIMIT_MS = 2_000;

async function namedPipes(folder: string, { path, owner }: PipeOptions): Promise<readonly [Pipe, Pipe]> {
  const name = join(folder, `.envoy-${randomBytes(6).toString("hex")}`);
  const names = [`${name}.out`, `${name}.err`] as const;
  const made: Pipe[] = [];
  try {
    await mkfifo(names, path);
    for (const one of names) made.push(openNamed(one, owner));
    return made as [Pipe, Pipe];
  } catch (error) {
    for (const pipe of made) closePipe(pipe);
    throw error;
  } finally {
    for (const one of names) remove(one);
  }
}

/** Node has no call for it. */
async function mkfifo(names: readonly string[], path: string | undefined): Promise<void> {
  const env = { PATH: [path, "/usr/bin", "/bin"].filter(Boolean).join(":") };
  const args = ["-m", "600", ...names];
  const { code, signal, stderr } = await runProgram("mkfifo", args, { env, limitMs: MKFIFO_LIMIT_MS, graceMs: 0 });
  const [complaint] = stderr.split("\n");
  if (code !== 0) throw new Error(complaint || `mkfifo exited with ${code ?? signal}`);
}

/** What stands at the name by now may be something else. */
function openNamed(name: string, owner: Owner | undefined): Pipe {
  const reading = openSync(name, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  try {
    const found = fstatSync(reading);
    const isOurs = found.isFIFO() && found.uid === process.geteuid?.() && (found.mode & 0o077) === 0;
    if (!isOurs) throw new Error(`"${name}" is no pipe of ours`);
  } catch (error) {
    closeSync(reading);
    throw error;
  }
  return completePipe(reading, owner);
}

/** Opens the writing end of the very pipe, and gives the pipe away: who opens it again by /dev/stdout is checked. */
function completePipe(reading: number, owner: Owner | undefined): Pipe {
  try {
    const writing = openSync(`/proc/self/fd/${reading}`, constants.O_WRONLY);
    if (owner !== undefined) fchownSync(reading, owner.uid, owner.gid);
    return { reading, writing };
  } catch (error) {
    closeSync(reading);
    throw error;
  }
}

function remove(name: string): void {
  try {
    unlinkSync(name);
  } catch {
    // it was not made
  }
}
