import { constants } from "node:fs";
import { open, stat } from "node:fs/promises";
import { resolve } from "node:path";
import { AgentError, aborted, describeError, readBody, readTextFile, systemClock, systemCode } from "../base/index.ts";
import type { Host } from "../host/index.ts";

// A file or folder that the command line names and that does not exist is a usage error, for every command.

/** Rejects with USAGE when there is no such folder. `word` is what named it. */
export async function checkNamedFolder(path: string, word: string): Promise<void> {
  const found = await stat(path).catch((error: unknown) => {
    if (isAbsent(error)) throw missing("folder", path, word);
    return undefined; // the reader says why not
  });
  if (found?.isDirectory() === false) throw new AgentError("USAGE", `Cannot use "${path}" (${word}): it is no folder`);
}

/** Rejects with USAGE when no such file, or a folder; it is not opened. `word` is what named it. */
export async function checkNamedFile(path: string, word: string): Promise<void> {
  const found = await stat(path).catch((error: unknown) => {
    if (isAbsent(error)) throw missing("file", path, word);
    return undefined; // the reader says why not
  });
  if (found?.isDirectory() === true) throw new AgentError("USAGE", `Cannot use "${path}" (${word}): it is a folder`);
}

/**
 * The text of a file that the command line names, `-` for stdin, and its name in messages. Rejects as `readNamedFile`
 * does, and with the reason of a stop.
 */
export async function readInput(
  file: string,
  word: string,
  host: Pick<Host, "cwd" | "openStdin" | "signals">,
  mostBytes = MOST_BYTES,
): Promise<{ readonly text: string; readonly source: string }> {
  const { stop } = host.signals;
  if (file !== "-" && file !== "/dev/stdin") {
    return { text: await readNamedFile(resolve(host.cwd, file), word, mostBytes, stop), source: `"${file}"` };
  }
  return { text: await readStdin(host.openStdin?.(), mostBytes, stop), source: '"stdin"' };
}

/** To its end, whatever it is: a file, a pipe, a socket, or a terminal, where Ctrl-D is the end. It may be empty. */
async function readStdin(
  input: NodeJS.ReadableStream | undefined,
  mostBytes: number,
  stop: AbortSignal,
): Promise<string> {
  if (input === undefined) return "";
  const given = AbortSignal.any([stop, AbortSignal.timeout(STDIN_LIMIT_MS)]);
  try {
    const late = aborted(given).then(() => Promise.reject(given.reason));
    const bytes = await Promise.race([readBody(input as AsyncIterable<Buffer>, mostBytes), late]);
    return bytes.toString("utf8");
  } catch (cause) {
    stop.throwIfAborted();
    const why = given.aborted ? `it did not end within ${STDIN_LIMIT_MS / 1_000} s` : describeError(cause);
    throw new AgentError("FILE_UNREADABLE", `Cannot read stdin: ${why}`, { cause });
  }
}

/** A person may type, and what is piped may come from far away. */
const STDIN_LIMIT_MS = 300_000;

/**
 * The text of a file, or of a pipe, as `<(command)` of a shell is one, of at most `mostBytes` (default 16 MiB). Rejects with USAGE when there is none, with
 * FILE_UNREADABLE for any other reason.
 */
export async function readNamedFile(
  path: string,
  word: string,
  mostBytes = MOST_BYTES,
  stop?: AbortSignal,
): Promise<string> {
  try {
    const found = await stat(path).catch(() => undefined); // who opens it says why not
    return found?.isFIFO() === true ? await readPipe(path, mostBytes, stop) : await readTextFile(path, { mostBytes });
  } catch (error) {
    stop?.throwIfAborted();
    if (isAbsent(error)) throw missing("file", path, word);
    throw new AgentError("FILE_UNREADABLE", `Cannot read "${path}": ${describeError(error)}`, { cause: error });
  }
}

const PIPE_LIMIT_MS = 30_000;
const MOST_BYTES = 16 * 2 ** 20;
const PIPE_POLL_MS = 20;

/** Without blocking: a thread that waits in a FIFO would keep the process from ending. */
async function readPipe(path: string, mostBytes: number, stop: AbortSignal | undefined): Promise<string> {
  await using pipe = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const giveUpAtMs = performance.now() + PIPE_LIMIT_MS;
  const chunks: Buffer[] = [];
  for (let total = 0; total <= mostBytes; ) {
    const read = await pipe.read(Buffer.alloc(65_536), 0, 65_536, null).catch((error: unknown) => {
      if (systemCode(error) === "EAGAIN") return undefined; // its writer has more to say
      throw error;
    });
    if (read === undefined && performance.now() > giveUpAtMs) {
      throw new Error(`its writer did not come to an end within ${PIPE_LIMIT_MS / 1_000} s`);
    }
    if (read === undefined) await systemClock.sleep(PIPE_POLL_MS, stop);
    else if (read.bytesRead === 0 && (total > 0 || isOpenedByParent(path)))
      return Buffer.concat(chunks).toString("utf8");
    else if (read.bytesRead === 0) throw new Error("it is a FIFO without a writer");
    else chunks.push(read.buffer.subarray(0, read.bytesRead));
    total += read?.bytesRead ?? 0;
  }
  throw new Error(`at most ${mostBytes} bytes are read of a pipe`);
}

/** As `<(command)` of a shell is: its writer has been there, even if it has written nothing. */
function isOpenedByParent(path: string): boolean {
  return /^\/(dev|proc\/self)\/fd\/\d+$/.test(path);
}

function isAbsent(error: unknown): boolean {
  return systemCode(error) === "ENOENT" || systemCode(error) === "ENOTDIR";
}

function missing(kind: string, path: string, word: string): AgentError {
  return new AgentError("USAGE", `Cannot find the ${kind} "${path}" (${word})`);
}
