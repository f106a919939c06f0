import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { constants } from "node:os";
import { Writable } from "node:stream";
import { AgentError, describeError, systemCode } from "../../base/index.ts";

export interface SpawnOptions {
  readonly binary: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Runs Envoy as this user and group; undefined keeps the agent's. */
  readonly runAs: { readonly uid: number; readonly gid: number } | undefined;
  /** Path of `setpriv`, with which the kernel ends Envoy when the agent dies; undefined where there is none. */
  readonly setpriv: string | undefined;
  /** Envoy's own lines go here, untouched. */
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
  /** Settles once, when the process is gone and its output is read; never rejects. */
  readonly ended: Promise<ChildEnd>;
  /** The last lines of stderr, oldest first. */
  lastLines(): readonly string[];
  kill(signal: NodeJS.Signals): void;
}

/**
 * Starts Envoy in a process group of its own, so that a terminal's Ctrl-C reaches only the agent. Resolves with the
 * pid; rejects with ENVOY_NOT_FOUND, ENVOY_NOT_EXECUTABLE or ENVOY_START_FAILED.
 */
export function spawnEnvoy(options: SpawnOptions): Promise<EnvoyChild> {
  const { file, args, identity } = commandOf(options);
  const child = spawn(file, args, {
    cwd: options.cwd,
    env: options.env as NodeJS.ProcessEnv,
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
    ...identity,
  });
  const tail = new Tail();
  forward(child.stdout, options.stdout);
  forward(child.stderr, options.stderr, tail);
  const ended = waitForEnd(child);
  return new Promise((resolve, reject) => {
    child.once("error", (error) => reject(spawnError(options, error)));
    child.once("spawn", () => {
      const pid = child.pid ?? 0;
      resolve({
        pid,
        startedMs: Date.now(),
        ended,
        lastLines: () => tail.lines(),
        kill: (signal) => void child.kill(signal),
      });
    });
  });
}

/** How long the last output may take after the process is gone; a reader that stands still must not hold up the end. */
const OUTPUT_LIMIT_MS = 500;

function waitForEnd(child: ChildProcess): Promise<ChildEnd> {
  return new Promise((resolve) => {
    child.once("exit", (code, signal) => {
      const late = setTimeout(() => {
        child.stdout?.destroy();
        child.stderr?.destroy();
      }, OUTPUT_LIMIT_MS);
      child.once("close", () => {
        clearTimeout(late);
        resolve(signal === null ? { kind: "code", code: code ?? 0 } : { kind: "signal", signal });
      });
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

export interface EnvoyCommand {
  readonly file: string;
  readonly args: string[];
  /** For `spawn`: who to become, where `setpriv` does not see to it. */
  readonly identity: { readonly uid?: number; readonly gid?: number };
}

/** The command line by which a program runs as Envoy does: as whom, and not longer than the agent. */
export function commandOf({
  binary,
  args,
  runAs,
  setpriv,
}: Pick<SpawnOptions, "binary" | "args" | "runAs" | "setpriv">): EnvoyCommand {
  if (setpriv === undefined) return { file: binary, args: [...args], identity: { ...runAs } };
  const user = runAs === undefined ? [] : [`--reuid=${runAs.uid}`, `--regid=${runAs.gid}`, "--clear-groups"];
  return { file: setpriv, args: ["--pdeathsig", "KILL", ...user, "--", binary, ...args], identity: {} };
}

/** Passes output on without `pipe`, which would end the agent's own stream together with the child's. */
function forward(from: ChildProcess["stdout"], to: NodeJS.WritableStream, tail?: Tail): void {
  from?.pipe(
    new Writable({
      write(chunk: Buffer, _encoding, done) {
        tail?.add(chunk);
        if (to.write(chunk)) done();
        else to.once("drain", () => done());
      },
    }),
  );
}

const KEPT_LINES = 100;
const KEPT_LINE_LENGTH = 2_000;

/** The last lines of a stream, in bounded memory. */
class Tail {
  readonly #lines: string[] = [];
  #rest = "";

  add(chunk: Buffer): void {
    const parts = (this.#rest + chunk.toString("utf8")).split("\n");
    this.#rest = (parts.pop() ?? "").slice(-KEPT_LINE_LENGTH);
    for (const line of parts.slice(-KEPT_LINES)) this.#lines.push(line.slice(0, KEPT_LINE_LENGTH));
    if (this.#lines.length > KEPT_LINES) this.#lines.splice(0, this.#lines.length - KEPT_LINES);
  }

  lines(): readonly string[] {
    return this.#rest === "" ? [...this.#lines] : [...this.#lines, this.#rest];
  }
}

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
