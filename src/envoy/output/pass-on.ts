import { escapeText, pause, systemClock } from "../../base/index.ts";
import { isTerminal } from "../../host/index.ts";
import type { OutputReader } from "./read-output.ts";

/** One of Envoy's outputs on its way to where its lines go. */
export interface Passing {
  /** Settles when everything was read and taken; never rejects. */
  readonly done: Promise<void>;
  /** Grows with each chunk that was taken. */
  progress(): number;
  /** Gives the rest up. */
  close(): void;
}

export interface PassOptions {
  /** Not ended with the output: it is the agent's own. */
  readonly to: NodeJS.WritableStream;
  /** Sees every byte, also what `edit` drops. */
  readonly note?: (chunk: Buffer) => void;
  /** What is passed on in place of these lines. Default: they. */
  readonly edit?: (lines: Buffer) => Buffer;
}

/** A line that goes on beyond that is passed on in parts. */
const MOST_HELD_BYTES = 64 * 1_024;
/** So long the rest of a line is waited for; an access log's format may have no line end at all. */
const REST_MS = 100;

/**
 * Passes output on, whole lines at a time: the agent's own lines and those of another Envoy go the same way. Waits
 * while `to` does not take more, so that memory stays bounded. The bytes stay as they are, for whoever collects logs;
 * only on a terminal, which would obey what a client put into an access log, they are escaped.
 */
export function passOn(reader: OutputReader, options: PassOptions): Passing {
  const { to, note } = options;
  let count = 0;
  let held: Buffer = Buffer.alloc(0);
  const release = (): Promise<void> => {
    const rest = held;
    held = Buffer.alloc(0);
    return write(rest, options);
  };
  const run = async (): Promise<void> => {
    for (;;) {
      const late = held.length === 0 ? undefined : setTimeout(() => void release(), REST_MS);
      const chunk = await reader.next();
      clearTimeout(late);
      if (chunk === undefined) break;
      note?.(chunk);
      const text = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
      const end = endOfLines(text);
      held = text.subarray(end);
      await write(text.subarray(0, end), options);
      count++;
    }
    if (to.writable) await release();
  };
  return { done: run(), progress: () => count, close: () => reader.close() };
}

const NEWLINE = 0x0a;

/** How much of it can be passed on now. */
function endOfLines(text: Buffer): number {
  const end = text.lastIndexOf(NEWLINE) + 1;
  return text.length - end > MOST_HELD_BYTES ? text.length : end;
}

function write(text: Buffer, { to, edit }: PassOptions): Promise<void> {
  const kept = edit === undefined ? text : edit(text);
  const edited = isTerminal(to) ? Buffer.from(escapeText(kept.toString())) : kept;
  return new Promise((resolve) => {
    if (edited.length === 0 || to.write(edited)) resolve();
    else to.once("drain", resolve);
  });
}

/** How long an output that makes no progress is waited for once its process is gone, and how long one that does. */
const STILL_MS = 500;
const LIMIT_MS = 5_000;

/**
 * Waits until outputs whose process is gone are passed on. A reader that stands still, or a grandchild that holds them
 * open, must not hold up the end. Never rejects.
 */
export async function settleOutput(outputs: readonly Passing[]): Promise<void> {
  const settled = new AbortController();
  const done = Promise.all(outputs.map((one) => one.done)).then(() => settled.abort());
  const progress = (): number => outputs.reduce((sum, one) => sum + one.progress(), 0);
  const untilMs = systemClock.now() + LIMIT_MS;
  for (let before = -1; progress() !== before && systemClock.now() < untilMs; ) {
    before = progress();
    await pause(STILL_MS, settled.signal);
    if (settled.signal.aborted) return done;
  }
  for (const one of outputs) one.close();
}
