import { spawn } from "node:child_process";
import { constants } from "node:os";
import { AgentError, describeError, systemCode } from "../base/index.ts";
import { terminalOf } from "./terminal.ts";

export interface ApplicationOptions {
  /** Absolute path of the executable. */
  readonly file: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Path of `setpriv`, with which the kernel ends the application when the agent dies; undefined where there is none. */
  readonly setpriv: string | undefined;
  /** Words before the command line, of programs that each execute the next one, such as `nsenter`. Default: none. */
  readonly enter?: readonly string[];
  /** Words of `setpriv` that become another user. Default: none. */
  readonly userWords?: readonly string[] | undefined;
}

export type ApplicationEnd =
  | { readonly kind: "code"; readonly code: number }
  | { readonly kind: "signal"; readonly signal: NodeJS.Signals };

export interface RunningApplication {
  readonly pid: number;
  /** Settles once, when the process is gone; never rejects. */
  readonly ended: Promise<ApplicationEnd>;
  /** Whether it shares our terminal, and with it our process group. */
  readonly isInTerminal: boolean;
  /** Whether the terminal, if anybody, has sent this signal, and to the application as well. */
  isTyped(signal: NodeJS.Signals): boolean;
  /** Sends a signal to the application's own process, unless the terminal has done that. */
  pass(signal: NodeJS.Signals): void;
  /** SIGKILL, to its whole process group where it has one of its own. */
  kill(): void;
}

/** What a terminal sends to its foreground group: Ctrl-C, Ctrl-\, a change of its size. */
const TERMINAL_SIGNALS: readonly NodeJS.Signals[] = ["SIGINT", "SIGQUIT", "SIGWINCH"];

/**
 * Starts the application with our own stdin, stdout and stderr. Rejects with APPLICATION_NOT_FOUND (also for a missing
 * interpreter) or APPLICATION_NOT_EXECUTABLE.
 */
export function startApplication(options: ApplicationOptions): Promise<RunningApplication> {
  const { cwd, env } = options;
  const [program = options.file, ...words] = commandOf(options);
  const isInTerminal = terminalOf() !== "none";
  const child = spawn(program, words, {
    cwd,
    env: env as NodeJS.ProcessEnv,
    stdio: "inherit",
    detached: !isInTerminal, // a new session loses the terminal: passwords, editors and Ctrl-Z would not work
  });
  const isTyped = (signal: NodeJS.Signals): boolean =>
    isInTerminal && TERMINAL_SIGNALS.includes(signal) && terminalOf() === "foreground";
  let isGone = false;
  const ended = new Promise<ApplicationEnd>((resolve) => {
    child.once("exit", (code, signal) => {
      isGone = true;
      resolve(signal === null ? { kind: "code", code: code ?? 0 } : { kind: "signal", signal });
    });
  });
  return new Promise((resolve, reject) => {
    child.once("error", (error) => reject(spawnError(options.file, error)));
    child.once("spawn", () => {
      const pid = child.pid ?? 0;
      resolve({
        pid,
        ended,
        isInTerminal,
        isTyped,
        pass: (signal) => void (isTyped(signal) || child.kill(signal)),
        kill() {
          if (isGone) return; // its number may be somebody else's by now
          if (isInTerminal) child.kill("SIGKILL");
          else process.kill(-pid, "SIGKILL");
        },
      });
    });
  });
}

/** 128 + the signal's number, as shells tell it; otherwise the code itself. */
export function applicationExitCode(end: ApplicationEnd): number {
  return end.kind === "code" ? end.code : 128 + constants.signals[end.signal];
}

/** `exit code 3` or `SIGTERM`. */
export function describeApplicationEnd(end: ApplicationEnd): string {
  return end.kind === "code" ? `exit code ${end.code}` : end.signal;
}

function commandOf({ file, args, setpriv, enter = [], userWords = [] }: ApplicationOptions): readonly string[] {
  const dying = setpriv === undefined ? [] : [setpriv, "--pdeathsig", "KILL", ...userWords, "--"];
  return [...enter, ...dying, file, ...args];
}

function spawnError(file: string, error: unknown): AgentError {
  const code = systemCode(error) === "ENOENT" ? "APPLICATION_NOT_FOUND" : "APPLICATION_NOT_EXECUTABLE";
  return new AgentError(code, `Cannot run "${file}": ${describeError(error)}`, { cause: error });
}
