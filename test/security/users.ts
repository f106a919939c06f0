import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";

/** Tests that need a second user run as root only. Where that is not so, one line says it. */
export const asRoot = process.getuid?.() === 0 && process.platform === "linux";
if (!asRoot) console.log("Not root on Linux: attacks by another user are not tried here");

/** A user id that no account has. */
export const STRANGER = 54_321;

/** The words that run a command as such a user. */
export function asStranger(uid: number = STRANGER): readonly string[] {
  return ["setpriv", `--reuid=${uid}`, `--regid=${uid}`, "--clear-groups", "--"];
}

export interface StartedProcess extends AsyncDisposable {
  readonly pid: number;
  readonly process: ChildProcess;
}

/** Starts a program; resolves when it has printed something. Disposing kills it. */
export async function startProgram(
  words: readonly string[],
  options: { readonly env?: Readonly<Record<string, string>>; readonly uid?: number } = {},
): Promise<StartedProcess> {
  const [file = "", ...args] = [...(options.uid === undefined ? [] : asStranger(options.uid)), ...words];
  const child = spawn(file, args, { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, ...options.env } });
  await once(child.stdout as NodeJS.ReadableStream, "data");
  return {
    pid: child.pid ?? 0,
    process: child,
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGKILL");
      await once(child, "exit");
    },
  };
}
