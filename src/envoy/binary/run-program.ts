import { type ChildProcess, spawn } from "node:child_process";
import { systemCode } from "../../base/index.ts";
import type { Env } from "./cache.ts";

/** How a program ended: `code` is its exit code or the signal that ended it. Or there is none of that name. */
export type Ran =
  | { readonly kind: "ended"; readonly code: number | string; readonly stderr: string }
  | { readonly kind: "missing" };

export interface RunOptions {
  readonly env: Env;
  readonly cwd: string;
  readonly stop: AbortSignal;
}

/**
 * Runs a program to its end, without input, in a process group of its own. When `stop` aborts the whole group is ended,
 * and only after that the promise rejects with its reason: nobody writes any more then.
 */
export async function runProgram(file: string, args: readonly string[], { env, cwd, stop }: RunOptions): Promise<Ran> {
  stop.throwIfAborted();
  const child = spawn(file, args, { cwd, env: { ...env }, stdio: ["ignore", "ignore", "pipe"], detached: true });
  let killing: NodeJS.Timeout | undefined;
  const end = (): void => {
    signalGroup(child, "SIGTERM");
    killing = setTimeout(() => {
      signalGroup(child, "SIGKILL");
      child.stderr?.destroy(); // a grandchild that left the group may hold it open
    }, KILL_AFTER_MS);
  };
  stop.addEventListener("abort", end, { once: true });
  try {
    const ran = await ended(child);
    stop.throwIfAborted();
    return ran;
  } finally {
    stop.removeEventListener("abort", end);
    clearTimeout(killing);
  }
}

const KILL_AFTER_MS = 3_000;
const KEPT_STDERR = 8_000;

function ended(child: ChildProcess): Promise<Ran> {
  return new Promise((resolve, reject) => {
    let stderr = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      stderr = (stderr + text).slice(-KEPT_STDERR);
    });
    child.once("error", (error) => {
      const isMissing = ["ENOENT", "EACCES"].includes(systemCode(error) ?? "");
      if (isMissing) resolve({ kind: "missing" });
      else reject(error);
    });
    child.once("close", (code, signal) => resolve({ kind: "ended", code: code ?? signal ?? "unknown", stderr }));
  });
}

function signalGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // it ended by itself meanwhile
  }
}
