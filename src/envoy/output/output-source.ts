import type { ChildProcess } from "node:child_process";
import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";
import { describeError, type Logger, type Owner } from "../../base/index.ts";
import { closePipe, makePipes, type Pipe, type PipeOptions } from "./make-pipes.ts";
import { type OutputReader, readPipe, readStream } from "./read-output.ts";

export interface OutputSourceOptions extends PipeOptions {
  /** The agent's own descriptor that Envoy's stdout ends up on; undefined where it ends up on none. */
  readonly ownStdout: number | undefined;
  /** Warned, once, when there can be no pipes. */
  readonly log: Pick<Logger, "warn">;
}

/** What one child gets as its stdout and stderr. One of `begin` and `close` is called, once. */
export interface ChildOutput {
  readonly stdio: ["ignore", number | "ignore" | "pipe", number | "pipe"];
  /** To be called with the spawned child. An output that the agent does not see is undefined. */
  begin(child: ChildProcess): { readonly stdout: OutputReader | undefined; readonly stderr: OutputReader | undefined };
  /** In place of `begin`, when nothing was spawned. */
  close(): void;
}

/**
 * Makes the outputs of Envoys. Where no pipe can be made, Envoy's stdout is the agent's own if that can be opened again,
 * else /dev/null, and its stderr a socket: access logs at /dev/stdout do not keep the proxy from getting ready.
 */
export class OutputSource implements AsyncDisposable {
  readonly #options: OutputSourceOptions;
  #next: Promise<readonly [Pipe, Pipe] | undefined> | undefined;
  #hasWarned = false;

  constructor(options: OutputSourceOptions) {
    this.#options = options;
  }

  /** Begins to make what `open` gives next. */
  prepare(): void {
    this.#next ??= this.#make();
  }

  /** Never rejects. */
  async open(): Promise<ChildOutput> {
    this.prepare();
    const next = this.#next;
    this.#next = undefined;
    const pipes = await next;
    return pipes === undefined ? this.#withoutPipes() : throughPipes(pipes);
  }

  /** Closes what was prepared in vain. */
  async [Symbol.asyncDispose](): Promise<void> {
    const pipes = await this.#next;
    this.#next = undefined;
    for (const pipe of pipes ?? []) closePipe(pipe);
  }

  async #make(): Promise<readonly [Pipe, Pipe] | undefined> {
    if (process.platform !== "linux") return undefined; // elsewhere opening /dev/stdout copies the descriptor, whatever it is
    try {
      return await makePipes(this.#options);
    } catch (error) {
      this.#warn(describeError(error));
      return undefined;
    }
  }

  #withoutPipes(): ChildOutput {
    const stdout = process.platform === "linux" ? (this.#reopenableStdout() ?? "ignore") : "pipe";
    return {
      stdio: ["ignore", stdout, "pipe"],
      begin: ({ stdout: out, stderr: err }) => ({
        stdout: out === null ? undefined : readStream(out),
        stderr: err === null ? undefined : readStream(err),
      }),
      close: () => undefined,
    };
  }

  #reopenableStdout(): number | undefined {
    const { ownStdout: fd, owner } = this.#options;
    return fd !== undefined && canBeOpenedAgain(fd, owner) ? fd : undefined;
  }

  #warn(error: string): void {
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    const fate = this.#reopenableStdout() === undefined ? "is lost" : "does not pass through the agent";
    this.#options.log.warn(
      `Cannot make pipes for Envoy's output: what it writes to /dev/stdout ${fate}, and it cannot open /dev/stderr`,
      { error, hint: "Install mkfifo on PATH, and make the run folder or /tmp writable" },
    );
  }
}

/** Not: a socket, a closed descriptor, a pipe without a reader, a file that its writers would overwrite each other in. */
function canBeOpenedAgain(fd: number, owner: Owner | undefined): boolean {
  try {
    closeSync(openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_APPEND | constants.O_NONBLOCK));
    const found = fstatSync(fd);
    if (found.isFile() && !isAppending(fd)) return false;
    const needed = found.uid === owner?.uid ? 0o200 : 0o002;
    return owner === undefined || (found.mode & needed) !== 0;
  } catch {
    return false;
  }
}

/** Source: proc_pid_fdinfo(5); the flags are octal. */
function isAppending(fd: number): boolean {
  const [, flags = "0"] = /^flags:\s+(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8")) ?? [];
  return (Number.parseInt(flags, 8) & constants.O_APPEND) !== 0;
}

function throughPipes([stdout, stderr]: readonly [Pipe, Pipe]): ChildOutput {
  return {
    stdio: ["ignore", stdout.writing, stderr.writing],
    begin() {
      for (const { writing } of [stdout, stderr]) closeSync(writing); // the end is seen when Envoy's copy is closed
      return { stdout: readPipe(stdout.reading), stderr: readPipe(stderr.reading) };
    },
    close() {
      for (const pipe of [stdout, stderr]) closePipe(pipe);
    },
  };
}
