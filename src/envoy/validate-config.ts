import type { ChildProcess } from "node:child_process";
import { Writable } from "node:stream";
import { AgentError, describeError } from "../base/index.ts";
import { type ProgramOutput, runProgram } from "../host/index.ts";
import { commandOf, type EnvoyProcess } from "./command-of.ts";
import { type ChildOutput, passOn, settleOutput } from "./output/index.ts";

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
  const open = await options.output.open();
  const text = new ValidationText(open);
  try {
    // one that hangs may be deaf to more polite signals
    const { code } = await runProgram(file, args, { cwd, env, identity, limitMs, graceMs: 0, stop, output: text });
    if (code === null) throw new Error("it was killed");
    return { isValid: code === 0, output: await text.whole() };
  } catch (error) {
    if (stop.aborted) throw new AgentError("STOPPED", "Stopped waiting for Envoy's validation", { cause: stop.reason });
    if (error instanceof AgentError && error.code === "TIMEOUT") {
      throw new AgentError("TIMEOUT", `Envoy did not finish validating within ${limitMs / 1_000} s`);
    }
    const message = `Cannot start Envoy "${binary}" to validate: ${describeError(error)}`;
    throw new AgentError("ENVOY_START_FAILED", message, { cause: error });
  } finally {
    text.close();
  }
}

/** Everything that Envoy prints, stdout first. */
class ValidationText implements ProgramOutput {
  readonly stdio: ChildOutput["stdio"];
  readonly #output: ChildOutput;
  readonly #texts = [new Text(), new Text()] as const;
  #passing: ReturnType<typeof passOn>[] | undefined;

  constructor(output: ChildOutput) {
    this.#output = output;
    this.stdio = output.stdio;
  }

  begin(child: ChildProcess): void {
    const { stdout, stderr } = this.#output.begin(child);
    const [out, err] = this.#texts;
    this.#passing = [
      ...(stdout === undefined ? [] : [passOn(stdout, { to: out })]),
      ...(stderr === undefined ? [] : [passOn(stderr, { to: err })]),
    ];
  }

  /** After the end. */
  async whole(): Promise<string> {
    await settleOutput(this.#passing ?? []);
    return this.#texts.join("");
  }

  close(): void {
    if (this.#passing === undefined) this.#output.close();
    for (const one of this.#passing ?? []) one.close();
  }
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
