import { constants } from "node:fs";
import { open, stat } from "node:fs/promises";
import { AgentError, describeError, readTextFile, systemClock, systemCode } from "../base/index.ts";

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
 * The text of a file, or of a pipe, as `<(command)` of a shell is one, of at most `mostBytes` (default 16 MiB). Rejects with USAGE when there is none, with
 * FILE_UNREADABLE for any other reason.
 */
export async function readNamedFile(path: string, word: string, mostBytes = MOST_BYTES): Promise<string> {
  try {
    const found = await stat(path).catch(() => undefined); // who opens it says why not
    return found?.isFIFO() === true ? await readPipe(path, mostBytes) : await readTextFile(path, { mostBytes });
  } catch (error) {
    if (isAbsent(error)) throw missing("file", path, word);
    throw new AgentError("FILE_UNREADABLE", `Cannot read "${path}": ${describeError(error)}`, { cause: error });
  }
}

const PIPE_LIMIT_MS = 30_000;
const MOST_BYTES = 16 * 2 ** 20;
const PIPE_POLL_MS = 20;

/** Without blocking: a thread that waits in a FIFO would keep the process from ending. */
async function readPipe(path: string, mostBytes: number): Promise<string> {
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
    if (read === undefined) await systemClock.sleep(PIPE_POLL_MS);
    else if (read.bytesRead === 0 && total > 0) return Buffer.concat(chunks).toString("utf8");
    else if (read.bytesRead === 0) throw new Error("it is a FIFO without a writer");
    else chunks.push(read.buffer.subarray(0, read.bytesRead));
    total += read?.bytesRead ?? 0;
  }
  throw new Error(`at most ${mostBytes} bytes are read of a pipe`);
}

function isAbsent(error: unknown): boolean {
  return systemCode(error) === "ENOENT" || systemCode(error) === "ENOTDIR";
}

function missing(kind: string, path: string, word: string): AgentError {
  return new AgentError("USAGE", `Cannot find the ${kind} "${path}" (${word})`);
}
