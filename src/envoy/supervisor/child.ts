import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { constants } from "node:os";
import { AgentError, describeError, systemCode } from "../../base/index.ts";
import { commandOf, type EnvoyProcess } from "../command-of.ts";
import { type Passing, passOn, settleOutput, Tail, withoutClosingStreams } from "../output/index.ts";

export interface SpawnOptions extends EnvoyProcess {
  /** How long it may drain once another epoch has taken over. Default: `parentShutdownSeconds` of the hot restart. */
  readonly drainLimitSeconds?: number | undefined;
  /** Envoy's own lines go here, untouched but for those that only say that it ends. */
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream;
}

/** How the child ended: by a code or by a signal. */
export type ChildEnd =
  | { readonly kind: "code"; readonly code: number }
  | { readonly kind: "signal"; readonly signal: NodeJS.Signals };

export interface EnvoyChild {
  readonly pid: number;
  readonly startedMs: number;
  /** Settles once, when the process has exited and its output is read, or no longer waited for; never rejects. */
  readonly ended: Promise<ChildEnd>;
  /** The last lines of stderr, oldest first. */
  lastLines(): readonly string[];
  kill(signal: NodeJS.Signals): void;
}

/**
 * Starts Envoy in a process group of its own, so that a terminal's Ctrl-C reaches only the agent. Resolves with the
 * pid; rejects with ENVOY_NOT_FOUND, ENVOY_NOT_EXECUTABLE or ENVOY_START_FAILED.
 */
export async function spawnEnvoy(options: SpawnOptions): Promise<EnvoyChild> {
  const { file, args, identity } = commandOf(options);
  const output = await options.output.open();
  const child = spawn(file, args, {
    cwd: options.cwd,
    env: options.env as NodeJS.ProcessEnv,
    stdio: output.stdio,
    detached: true,
    ...identity,
  });
  const tail = new Tail();
  const closing = withoutClosingStreams();
  const { stdout, stderr } = output.begin(child);
  const passing = [
    ...(stdout === undefined ? [] : [passOn(stdout, { to: options.stdout })]),
    ...(stderr === undefined
      ? []
      : [passOn(stderr, { to: options.stderr, note: (chunk) => tail.add(chunk), edit: closing.edit })]),
  ];
  const ended = waitForEnd(child, passing);
  return new Promise((resolve, reject) => {
    child.once("error", (error) => {
      for (const one of passing) one.close();
      reject(spawnError(options, error));
    });
    child.once("spawn", () => {
      const pid = child.pid ?? 0;
      resolve({
        pid,
        startedMs: Date.now(),
        ended,
        lastLines: () => tail.lines(),
        kill(signal) {
          if (signal === "SIGTERM") closing.noteSigterm();
          child.kill(signal);
        },
      });
    });
  });
}

function waitForEnd(child: ChildProcess, passing: readonly Passing[]): Promise<ChildEnd> {
  return new Promise((resolve) => {
    child.once("exit", (code, signal) => {
      const end: ChildEnd = signal === null ? { kind: "code", code: code ?? 0 } : { kind: "signal", signal };
      void settleOutput(passing).then(() => resolve(end));
    });
  });
}

/** 128 + the signal's number, as shells tell it; otherwise the code itself. */
export function exitCodeOf(end: ChildEnd): number {
  return end.kind === "code" ? end.code : 128 + constants.signals[end.signal];
}

/** `exit status 3` or `signal: killed`, the texts that pilot-agent's users search for. */
export function describeEnd(end: ChildEnd): string {
  if (end.kind === "code") return `exit status ${end.code}`;
  return `signal: ${SIGNAL_NAMES[end.signal] ?? end.signal}`;
}

const SIGNAL_NAMES: Readonly<Record<string, string>> = {
  SIGKILL: "killed",
  SIGTERM: "terminated",
  SIGSEGV: "segmentation fault",
  SIGABRT: "aborted",
  SIGINT: "interrupt",
  SIGHUP: "hangup",
  SIGBUS: "bus error",
};

function spawnError({ binary, cwd }: SpawnOptions, error: unknown): AgentError {
  const code = systemCode(error);
  if (code === "ENOENT" && !existsSync(cwd)) {
    return new AgentError("ENVOY_START_FAILED", `Cannot start Envoy "${binary}": its working folder "${cwd}" is gone`);
  }
  const text = `Cannot start Envoy "${binary}": ${describeError(error)}`;
  if (code === "ENOENT") return new AgentError("ENVOY_NOT_FOUND", text, { cause: error });
  if (code === "EACCES") return new AgentError("ENVOY_NOT_EXECUTABLE", text, { cause: error });
  return new AgentError("ENVOY_START_FAILED", text, { cause: error });
}
