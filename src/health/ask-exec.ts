import { AgentError } from "../base/index.ts";
import { type ProgramOutput, runProgram } from "../host/index.ts";

export interface ExecPlace {
  /** Of the program; its PATH finds it. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Path of `setpriv`, with which the kernel kills the program when the agent dies; undefined where there is none. */
  readonly setpriv: string | undefined;
}

/**
 * Runs a command without a shell, and asks for exit code 0. Its output is discarded. Rejects with why the workload is
 * not healthy, or the reason of `stop`; whatever is left of the program's process group is killed.
 */
export async function askExec(
  command: readonly string[],
  { env, cwd, setpriv, timeoutMs }: ExecPlace & { readonly timeoutMs: number },
  stop: AbortSignal,
): Promise<void> {
  const [file = "", ...args] = setpriv === undefined ? command : [setpriv, "--pdeathsig", "KILL", "--", ...command];
  const limits = { limitMs: timeoutMs, graceMs: 0, leavesNothing: true, stop };
  try {
    const { code, signal } = await runProgram(file, args, { env, cwd, output: DISCARDED, ...limits });
    if (signal !== null) throw new Error(`signal: ${signal}`);
    if (code !== 0)
      throw new Error(`exit status ${code}${isNotThere(code, setpriv) ? `: cannot run "${command[0]}"` : ""}`);
  } catch (error) {
    const isLate = error instanceof AgentError && error.code === "TIMEOUT";
    throw isLate ? new Error("command timeout exceeded: signal: killed") : error; // the reference's words say it all
  }
}

const DISCARDED: ProgramOutput = { stdio: "ignore", begin: () => undefined };

/** What setpriv ends with when it cannot run the program. */
function isNotThere(code: number | null, setpriv: string | undefined): boolean {
  return setpriv !== undefined && (code === 126 || code === 127);
}
