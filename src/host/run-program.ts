import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { AgentError, describeError, type Follower, followSignal, systemClock, systemCode } from "../base/index.ts";
import { endDescendants } from "./end-descendants.ts";

export interface ProgramOptions {
  /** The whole environment: the program inherits nothing. Its PATH finds the program. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Default: the agent's own. */
  readonly cwd?: string;
  /** Becomes this user and group. Default: the agent's own. */
  readonly identity?: { readonly uid?: number; readonly gid?: number };
  /** Text to read, or the agent's terminal, for which the program stays in the agent's process group. Default: nothing. */
  readonly stdin?: { readonly text: string } | "terminal";
  /** Default: no limit but `stop`. */
  readonly limitMs?: number;
  readonly stop?: AbortSignal;
  /** Time from SIGTERM to SIGKILL; 0 sends SIGKILL at once. Default: 3 s. */
  readonly graceMs?: number;
  /** A program that prints more on stdout is stopped; 0 discards stdout. Default: 1 MiB. */
  readonly mostBytes?: number;
  /** Kills what is left of the program's process group after its end. Default: that goes on. */
  readonly leavesNothing?: boolean;
  /** Sees the chunks of stderr as they come. */
  readonly onStderr?: (chunk: Buffer) => void;
  /** Takes stdout and stderr in place of the runner, whose result has none then. */
  readonly output?: ProgramOutput;
}

export interface ProgramOutput {
  readonly stdio: SpawnOptions["stdio"];
  begin(child: ChildProcess): void;
}

/** How a program ended by itself: with a code, or by a signal. */
export interface Ran {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: Buffer;
  /** The last 8,000 bytes. */
  readonly stderr: string;
}

const GRACE_MS = 3_000;
const MOST_BYTES = 2 ** 20;
const KEPT_STDERR = 8_000;

/**
 * Runs a program to its end, in a process group of its own. Resolves whatever its exit code is. Rejects with
 * PROGRAM_NOT_FOUND, PROGRAM_FAILED (it cannot be started, or prints too much), TIMEOUT, or the reason of `stop`. Before the
 * last three the group is terminated, and then killed: nothing of it runs any more.
 */
export async function runProgram(file: string, args: readonly string[], options: ProgramOptions): Promise<Ran> {
  const { stop, limitMs } = options;
  stop?.throwIfAborted();
  using cut = followSignal(stop);
  const late = (): void =>
    cut.abort(new AgentError("TIMEOUT", `"${file}" did not finish within ${(limitMs ?? 0) / 1_000} s`));
  const limit = limitMs === undefined ? undefined : setTimeout(late, limitMs);
  try {
    return await runUntil(cut, file, args, options);
  } finally {
    clearTimeout(limit);
  }
}

/** `cut` stops the program with the reason to reject with. */
async function runUntil(cut: Follower, file: string, args: readonly string[], options: ProgramOptions): Promise<Ran> {
  const { graceMs = GRACE_MS } = options;
  const isGroup = options.stdin !== "terminal";
  const child = start(file, args, options);
  const stopped = new Promise<never>((_, reject) => {
    const end = (): void => void stopProgram(child, isGroup, graceMs).then(() => reject(cut.signal.reason));
    cut.signal.addEventListener("abort", end, { once: true });
  });
  stopped.catch(() => undefined); // it may come after the end
  const ran = await Promise.race([endOf(child, file, options, cut), stopped]);
  if (options.leavesNothing === true && !cut.signal.aborted) await stopProgram(child, isGroup, 0);
  return cut.signal.aborted ? stopped : ran;
}

function start(file: string, args: readonly string[], options: ProgramOptions): ChildProcess {
  const { cwd, env, identity, stdin, output, mostBytes } = options;
  const input = stdin === "terminal" ? "inherit" : stdin === undefined ? "ignore" : "pipe";
  const stdio = output?.stdio ?? [input, mostBytes === 0 ? "ignore" : "pipe", "pipe"];
  try {
    return spawn(file, args, { cwd, env: { ...env }, stdio, detached: stdin !== "terminal", ...identity });
  } catch (error) {
    throw notStarted(file, error);
  }
}

function endOf(child: ChildProcess, file: string, options: ProgramOptions, cut: Follower): Promise<Ran> {
  const { stdin, output, mostBytes = MOST_BYTES, onStderr } = options;
  return new Promise((resolve, reject) => {
    const stdout: Buffer[] = [];
    let bytes = 0;
    let stderr: Buffer = Buffer.alloc(0);
    child.once("error", (error) => reject(notStarted(file, error)));
    // whoever takes the output reads it to its end
    child.once(output === undefined ? "close" : "exit", (code, signal) =>
      resolve({ code, signal, stdout: Buffer.concat(stdout), stderr: stderr.toString("utf8") }),
    );
    if (output !== undefined) return output.begin(child);
    child.stdout?.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= mostBytes) stdout.push(chunk);
      else cut.abort(new AgentError("PROGRAM_FAILED", `"${file}" printed more than ${mostBytes} bytes`));
    });
    child.stderr?.on("data", (chunk: Buffer) => {
      stderr = Buffer.concat([stderr, chunk]).subarray(-KEPT_STDERR);
      onStderr?.(chunk);
    });
    if (typeof stdin === "object") child.stdin?.on("error", () => undefined).end(stdin.text); // one that never reads has its own failure
  });
}

function notStarted(file: string, error: unknown): AgentError {
  const code = systemCode(error) ?? "";
  const why = code === "ENOENT" ? "No such file or directory" : describeError(error);
  const kind = ["ENOENT", "EACCES"].includes(code) ? "PROGRAM_NOT_FOUND" : "PROGRAM_FAILED";
  return new AgentError(kind, `Cannot run "${file}": ${why}`, { cause: error });
}

const LOOK_MS = 10;
/** How long the kernel gets to remove what was killed. */
const KILL_LIMIT_MS = 1_000;

/** Resolves when nothing of the program runs any more, or even SIGKILL did not help. */
async function stopProgram(child: ChildProcess, isGroup: boolean, graceMs: number): Promise<void> {
  const send = (signal: NodeJS.Signals | 0): boolean => sendTo(child, isGroup, signal);
  if (graceMs > 0 && send("SIGTERM")) await hasGone(send, graceMs);
  if (isGroup && process.pid === 1 && child.pid !== undefined) await endDescendants(child.pid);
  if (send("SIGKILL")) await hasGone(send, KILL_LIMIT_MS);
  for (const stream of [child.stdin, child.stdout, child.stderr]) stream?.destroy(); // a grandchild that left the group may hold them
}

async function hasGone(send: (signal: 0) => boolean, limitMs: number): Promise<void> {
  const untilMs = performance.now() + limitMs;
  while (send(0) && performance.now() < untilMs) await systemClock.sleep(LOOK_MS);
}

/** False when no process is left to get the signal. */
function sendTo(child: ChildProcess, isGroup: boolean, signal: NodeJS.Signals | 0): boolean {
  const { pid, exitCode, signalCode } = child;
  const hasEnded = exitCode !== null || signalCode !== null;
  if (pid === undefined || (hasEnded && !isGroup)) return false;
  try {
    return process.kill(isGroup ? -pid : pid, signal);
  } catch {
    return false;
  }
}
