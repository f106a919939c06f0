import { closeSync, openSync, writeSync } from "node:fs";
import { resolve } from "node:path";
import { AgentError, createLogger, describeError, type Host, type Logger } from "../base/index.ts";
import type { AgentConfig } from "../config/index.ts";

/** A logger that writes to the configured targets, and how to close them. Throws FILE_UNWRITABLE. */
export function openLog(
  { log, cwd }: AgentConfig,
  host: Pick<Host, "stdout" | "stderr">,
): { log: Logger; close(): void } {
  const files: number[] = [];
  const sinks = log.targets.map((target): ((line: string) => void) => {
    if (target === "stdout") return (line) => void host.stdout.write(line);
    if (target === "stderr") return (line) => void host.stderr.write(line);
    const file = openFile(resolve(cwd, target));
    files.push(file);
    return (line) => void writeSync(file, line);
  });
  const write = (line: string): void => {
    for (const sink of sinks) {
      try {
        sink(line);
      } catch {
        // a full disk must not end the proxy, and there is nowhere else to tell it
      }
    }
  };
  return {
    log: createLogger({ ...log, write }),
    close() {
      for (const file of files) closeSync(file);
    },
  };
}

function openFile(path: string): number {
  try {
    return openSync(path, "a", 0o644);
  } catch (error) {
    throw new AgentError("FILE_UNWRITABLE", `Cannot open log target "${path}": ${describeError(error)}`, {
      cause: error,
    });
  }
}
