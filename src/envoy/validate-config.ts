import { type ChildProcess, spawn } from "node:child_process";
import { Writable } from "node:stream";
import { AgentError, describeError } from "../base/index.ts";
import { commandOf, type EnvoyProcess } from "./command-of.ts";
import { passOn, settleOutput } from "./output/index.ts";

export interface Validation {
  readonly isValid: boolean;
  /** What Envoy printed. */
  readonly output: string;
}

const LIMIT_MS = 30_000;
const MOST_OUTPUT = 16 * 2 ** 20;

/**
 * Has the real Envoy read a configuration without starting anything. Rejects with TIMEOUT after `limitMs` (default 30 s),
 * STOPPED, or ENVOY_START_FAILED; the process is gone then. Without hot restart, whose shared memory this mode would leave
 * behind.
 */
export async function validateConfig(
  options: EnvoyProcess,
  stop: AbortSignal,
  limitMs = LIMIT_MS,
): Promise<Validation> {
  const { binary, cwd, env } = options;
  const isOff = options.args.includes("--disable-hot-restart");
  const words = [...options.args, "--mode", "validate", ...(isOff ? [] : ["--disable-hot-restart"])];
  const { file, args, identity } = commandOf({ ...options, args: words });
  const output = await options.output.open();
  const child = spawn(file, args, { cwd, env: env as NodeJS.ProcessEnv, stdio: output.stdio, ...identity });
  const readers = output.begin(child);
  const texts = [new Text(), new Text()] as const;
  const passing = [readers.stdout, readers.stderr].flatMap((reader, at) => {
    const to = texts[at];
    return reader === undefined || to === undefined ? [] : [passOn(reader, { to })];
  });
  const limit = AbortSignal.timeout(limitMs);
  try {
    const code = await endOf(child, AbortSignal.any([stop, limit]));
    if (code === undefined) throw new Error("it was killed");
    await settleOutput(passing);
    return { isValid: code === 0, output: texts.join("") };
  } catch (error) {
    if (stop.aborted) throw new AgentError("STOPPED", "The validation by Envoy was given up", { cause: stop.reason });
    if (limit.aborted) throw new AgentError("TIMEOUT", `Envoy did not finish validating within ${limitMs / 1_000} s`);
    const text = `Cannot start Envoy "${binary}" to validate: ${describeError(error)}`;
    throw new AgentError("ENVOY_START_FAILED", text, { cause: error });
  } finally {
    for (const one of passing) one.close();
  }
}

/** The exit code; undefined after a signal. The process is killed when `stop` aborts: one that hangs may be deaf to more polite ones. */
function endOf(child: ChildProcess, stop: AbortSignal): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const done = new AbortController();
    const kill = (): void => void child.kill("SIGKILL");
    child.once("error", (error) => {
      done.abort();
      reject(error);
    });
    child.once("exit", (code) => {
      done.abort();
      resolve(code ?? undefined);
    });
    if (stop.aborted) kill();
    else stop.addEventListener("abort", kill, { once: true, signal: done.signal });
  });
}

/** What was written, as far as it is not absurdly much. */
class Text extends Writable {
  #chunks: Buffer[] = [];
  #bytes = 0;

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    if (this.#bytes < MOST_OUTPUT) this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    done();
  }

  override toString(): string {
    return Buffer.concat(this.#chunks).toString("utf8");
  }
}
