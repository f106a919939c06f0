import { closeSync, constants, openSync, writeSync } from "node:fs";
import { lstat } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import {
  AgentError,
  createLogger,
  describeError,
  holdFolder,
  type Logger,
  oneLine,
  systemCode,
} from "../base/index.ts";
import type { LogPlace } from "../config/index.ts";
import type { Host } from "../host/index.ts";

/**
 * Does work that has a log. The last line of that log is the reason of a failure: where the log goes to a file, or to a
 * program, its readers do not see stderr. Rejects as `work` does, or with FILE_UNWRITABLE.
 */
export async function withLog<T>(
  place: LogPlace,
  host: Pick<Host, "stdout" | "stderr" | "signals">,
  work: (log: Logger) => Promise<T>,
  { tellsFailure = true }: { readonly tellsFailure?: boolean } = {},
): Promise<T> {
  const { log, close } = await openLog(place, host);
  const { failed } = host.signals;
  const uncaught = (): void => logFailure(failed?.reason, log);
  failed?.addEventListener("abort", uncaught);
  try {
    return await work(log);
  } catch (error) {
    if (tellsFailure) logFailure(error, log);
    throw error;
  } finally {
    failed?.removeEventListener("abort", uncaught);
    close();
  }
}

/** One line for a failure that ends the agent, with its code and what can be done about it. */
export function logFailure(error: unknown, log: Logger): void {
  const text = oneLine(describeError(error), "; ");
  if (!(error instanceof AgentError)) log.error(`Internal failure: ${text}`, { code: "INTERNAL" });
  else log.error(text, { code: error.code, ...(error.hint === undefined ? {} : { hint: error.hint }) });
}

/** A logger that writes to the targets, and how to close them. Rejects as `openFile` does. */
async function openLog({ log, cwd }: LogPlace, host: Pick<Host, "stdout" | "stderr">) {
  const files: number[] = [];
  const sinks: ((line: string) => void)[] = [];
  for (const target of log.targets) {
    if (target === "stdout") sinks.push((line) => void host.stdout.write(line));
    else if (target === "stderr") sinks.push((line) => void host.stderr.write(line));
    else {
      const file = await openFile(resolve(cwd, target));
      files.push(file);
      sinks.push((line) => void writeSync(file, line));
    }
  }
  const write = (line: string): void => {
    for (const sink of sinks) {
      try {
        sink(line);
      } catch {
        // a full disk must not end the proxy, and there is nowhere else to report it
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

/** A FIFO without a reader must not keep us waiting, one that is full loses lines, and no terminal becomes ours. */
const TO_LOG = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK | constants.O_NOCTTY;

/** Rejects with FILE_UNWRITABLE, or with UNTRUSTED_PATH when a link of another user leads there. */
async function openFile(path: string): Promise<number> {
  try {
    await using folder = await holdFolder(dirname(path));
    if (!(await isLink(folder.at(basename(path))))) {
      return openSync(folder.at(basename(path)), TO_LOG | constants.O_NOFOLLOW, 0o644);
    }
    await judgeLinks(path); // `/dev/stdout` is one
    return openSync(path, TO_LOG, 0o644);
  } catch (error) {
    if (error instanceof AgentError) throw error;
    const why = systemCode(error) === "ENXIO" ? "it is a FIFO or a socket without a reader" : describeError(error);
    throw new AgentError("FILE_UNWRITABLE", `Cannot open log target "${path}": ${why}`, { cause: error });
  }
}

async function isLink(path: string): Promise<boolean> {
  const found = await lstat(path).catch(() => undefined); // absent: to be made
  return found?.isSymbolicLink() === true;
}

/** Follows the links as into a folder, and finds a file, a device, or nothing behind them. Rejects with UNTRUSTED_PATH. */
async function judgeLinks(path: string): Promise<void> {
  try {
    await (await holdFolder(path))[Symbol.asyncDispose]();
  } catch (error) {
    if (error instanceof AgentError) throw error;
  }
}
