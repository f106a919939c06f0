import { execFile } from "node:child_process";
import { AgentError } from "../base/index.ts";
import type { SpawnOptions } from "./supervisor/child.ts";

export interface Validation {
  readonly isValid: boolean;
  /** What Envoy printed. */
  readonly output: string;
}

const LIMIT_MS = 30_000;
const MOST_OUTPUT = 16 * 2 ** 20;

/**
 * Has the real Envoy read a configuration without starting anything; `args` as for a start. Rejects with TIMEOUT, or
 * ENVOY_START_FAILED. Without hot restart, whose shared memory this mode would leave behind.
 */
export function validateConfig({
  binary,
  args,
  cwd,
  env,
}: Pick<SpawnOptions, "binary" | "args" | "cwd" | "env">): Promise<Validation> {
  const isOff = args.includes("--disable-hot-restart");
  const command = [...args, "--mode", "validate", ...(isOff ? [] : ["--disable-hot-restart"])];
  const options = { cwd, env: env as NodeJS.ProcessEnv, timeout: LIMIT_MS, maxBuffer: MOST_OUTPUT };
  return new Promise((resolve, reject) => {
    execFile(binary, command, options, (error, stdout, stderr) => {
      if (error === null) resolve({ isValid: true, output: `${stdout}${stderr}` });
      else if (typeof error.code === "number") resolve({ isValid: false, output: `${stdout}${stderr}` });
      else if (error.killed === true) {
        reject(new AgentError("TIMEOUT", `Envoy did not finish validating within ${LIMIT_MS / 1_000} s`));
      } else {
        const text = `Cannot start Envoy "${binary}" to validate: ${error.message}`;
        reject(new AgentError("ENVOY_START_FAILED", text, { cause: error }));
      }
    });
  });
}
