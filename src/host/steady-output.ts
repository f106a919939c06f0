import { fstatSync, writeSync } from "node:fs";
import { Writable } from "node:stream";
import { isatty } from "node:tty";
import { escapeText } from "../base/index.ts";

/** One of the two outputs of a process. */
export type ProcessOutput = NodeJS.WritableStream & {
  readonly fd: number;
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
};

export type SteadyOutput = Writable & {
  readonly isTTY: boolean;
  readonly fd: number;
  /** Of a terminal. */
  readonly columns: number | undefined;
  /** The same. */
  readonly rows: number | undefined;
  /** Aborts when a write shows that the other end of a pipe or socket is closed. */
  readonly gone: AbortSignal;
};

/**
 * An output that never fails, whatever became of its other end: a reader that left, a closed terminal, a full disk. What
 * cannot be written is lost; a disk that has room again takes what comes then. A reader that is slow makes the writer
 * wait. `finish` is emitted when everything has left.
 *
 * Text is ours and may quote anybody: what would steer a terminal is escaped. Bytes are those of Envoy, of an answer or
 * of a file, and pass as they are.
 */
export function steadyOutput(output: ProcessOutput): SteadyOutput {
  output.on("error", () => undefined); // told by the callback of each write as well
  const write = isFile(output.fd) ? writeToFile : writeToStream;
  const gone = new AbortController();
  const writeAll = (bytes: Buffer, done: () => void): void =>
    write(output, bytes, (error) => {
      if (error) gone.abort(error);
      done();
    });
  const steady = new Writable({
    decodeStrings: false,
    write: (chunk: string | Buffer, _encoding, done) => writeAll(toBytes(chunk), done),
    writev: (waiting, done) => writeAll(Buffer.concat(waiting.map(({ chunk }) => toBytes(chunk))), done), // in one call
  });
  steady.on("error", () => undefined); // whoever writes after the end is too late, and that is all
  const fixed = Object.assign(steady, { isTTY: output.isTTY === true, fd: output.fd, gone: gone.signal });
  return Object.defineProperties(fixed, {
    columns: { get: () => output.columns }, // a window changes its size
    rows: { get: () => output.rows },
  }) as SteadyOutput;
}

function toBytes(chunk: string | Buffer): Buffer {
  return typeof chunk === "string" ? Buffer.from(escapeText(chunk)) : chunk;
}

/** Regular files and devices other than terminals, which Node closes for good at the first error. */
function isFile(fd: number): boolean {
  try {
    const kind = fstatSync(fd);
    return !kind.isFIFO() && !kind.isSocket() && !isatty(fd);
  } catch {
    return false; // closed before we began
  }
}

type Done = (error?: Error | null) => void;

function writeToFile({ fd }: ProcessOutput, chunk: Buffer, done: Done): void {
  try {
    for (let rest = chunk; rest.length > 0; ) rest = rest.subarray(writeSync(fd, rest));
  } catch {
    // lost: there is nowhere else to tell it
  }
  done();
}

function writeToStream(output: ProcessOutput, chunk: Buffer, done: Done): void {
  output.write(chunk, done);
}

/** Ends an output; resolves when everything has left, at the latest after a second: its reader may not be reading. */
export function finishOutput(output: Writable): Promise<void> {
  return new Promise((resolve) => {
    const late = setTimeout(resolve, FINISH_LIMIT_MS);
    output.end(() => {
      clearTimeout(late);
      resolve();
    });
  });
}

const FINISH_LIMIT_MS = 1_000;

/** So long a writer waits for a reader that has stopped reading. */
const STALL_MS = 1_000;

/**
 * The same output for a writer that must not be stopped by its reader: what is written while the other end has not read
 * for a second is lost, and the writer goes on.
 */
export function lossyOutput(
  output: NodeJS.WritableStream,
): Writable & { readonly fd: number | undefined; readonly isTTY: boolean } {
  let isStalled = false;
  const write = (chunks: readonly (string | Buffer)[], done: () => void): void => {
    if (isStalled) {
      done();
      return;
    }
    const stalled = setTimeout(() => {
      isStalled = true;
      done();
    }, STALL_MS).unref();
    const written = (): void => {
      clearTimeout(stalled);
      if (isStalled) isStalled = false;
      else done();
    };
    for (const [at, chunk] of chunks.entries()) output.write(chunk, at === chunks.length - 1 ? written : undefined);
  };
  const lossy = new Writable({
    decodeStrings: false, // text and bytes stay what they are
    write: (chunk: string | Buffer, _encoding, done) => write([chunk], done),
    writev: (waiting, done) =>
      write(
        waiting.map(({ chunk }) => chunk),
        done,
      ), // one wait for what came meanwhile
  });
  return Object.assign(lossy, { fd: descriptorOf(output), isTTY: isTerminal(output) });
}

/** The same output for a writer whose lines are of no use once `over` aborts. */
export function outputUntil(output: NodeJS.WritableStream, over: AbortSignal): NodeJS.WritableStream {
  const write = (chunk: string | Uint8Array): boolean => over.aborted || output.write(chunk);
  return Object.assign(Object.create(output) as NodeJS.WritableStream, { write });
}

/**
 * For a command that prints until it is stopped: aborts with `stop`, and when a write shows that nobody reads any more,
 * as after `| head -1`. Linux tells of a closed pipe only whoever writes to it.
 */
export function whileRead(output: NodeJS.WritableStream, stop: AbortSignal): AbortSignal {
  const { gone } = output as Partial<SteadyOutput>;
  return gone === undefined ? stop : AbortSignal.any([stop, gone]);
}

/** Takes everything and shows nothing. */
export function nowhere(): Writable {
  return new Writable({ write: (_chunk, _encoding, done) => done() });
}

export function isTerminal(output: NodeJS.WritableStream): boolean {
  return (output as Partial<ProcessOutput>).isTTY === true;
}

/** The descriptor of the process that what is written to `output` ends up on, where it is one. */
export function descriptorOf(output: NodeJS.WritableStream): number | undefined {
  return (output as Partial<ProcessOutput>).fd;
}
