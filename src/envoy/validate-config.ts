import { type ExecFileOptions, execFile } from "node:child_process";
import { AgentError } from "../base/index.ts";
import { commandOf, type SpawnOptions } from "./supervisor/child.ts";

export interface Validation {
  readonly isValid: boolean;
  /** What Envoy printed. */
  readonly output: string;
}

const LIMIT_MS = 30_000;
const MOST_OUTPUT = 16 * 2 ** 20;

/** As for a start: the same command line, by the same user. */
export type ValidateOptions = Pick<SpawnOptions, "binary" | "args" | "cwd" | "env" | "runAs" | "setpriv">;

/**
 * Has the real Envoy read a configuration without starting anything. Rejects with TIMEOUT after `limitMs` (default 30 s),
 * STOPPED, or ENVOY_START_FAILED; the process is gone then. Without hot restart, whose shared memory this mode would leave
 * behind.
 */
export function validateConfig(options: ValidateOptions, stop: AbortSignal, limitMs = LIMIT_MS): Promise<Validation> {
  const { binary, cwd, env } = options;
  const isOff = options.args.includes("--disable-hot-restart");
  const words = [...options.args, "--mode", "validate", ...(isOff ? [] : ["--disable-hot-restart"])];
  const { file, args, identity } = commandOf({ ...options, args: words });
  return new Promise((resolve, reject) => {
    const how: ExecFileOptions = {
      ...{ cwd, env: env as NodeJS.ProcessEnv, maxBuffer: MOST_OUTPUT, ...identity },
      ...{ timeout: limitMs, killSignal: "SIGKILL" }, // one that hangs may be deaf to more polite ones
    };
    const done = new AbortController();
    const child = execFile(file, args, how, (error, stdout, stderr) => {
      done.abort();
      if (error === null) resolve({ isValid: true, output: `${stdout}${stderr}` });
      else if (typeof error.code === "number") resolve({ isValid: false, output: `${stdout}${stderr}` });
      else if (stop.aborted) {
        reject(new AgentError("STOPPED", "The validation by Envoy was given up", { cause: stop.reason }));
      } else if (error.killed === true) {
        reject(new AgentError("TIMEOUT", `Envoy did not finish validating within ${limitMs / 1_000} s`));
      } else {
        const text = `Cannot start Envoy "${binary}" to validate: ${error.message}`;
        reject(new AgentError("ENVOY_START_FAILED", text, { cause: error }));
      }
    });
    const kill = (): void => void child.kill("SIGKILL"); // the option `signal` of execFile would ask politely
    if (stop.aborted) kill();
    else stop.addEventListener("abort", kill, { once: true, signal: done.signal });
  });
}
