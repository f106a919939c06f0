import { describeProgress, type FetchNews, fetchNewsAsLines } from "../envoy/binary/index.ts";
import type { Host } from "../host/index.ts";
import { canRedraw } from "./terminal/index.ts";

export { describeProgress };

/** How much of a download has come, on stderr. */
export interface ProgressLine {
  /** On a terminal that can, draws the line again; elsewhere writes one now and then. */
  show(bytes: number, totalBytes: number | undefined): void;
  /** Takes the line away. */
  clear(): void;
}

/** A progress line on stderr. */
export function createProgressLine({ stderr, env }: Host): ProgressLine {
  if (!canRedraw(stderr, env)) {
    const { onProgress } = fetchNewsAsLines((line) => void stderr.write(`${line}\n`));
    return { show: onProgress, clear: () => undefined };
  }
  const sinceMs = performance.now();
  let shownMs = 0;
  return {
    show(bytes, totalBytes) {
      const nowMs = performance.now();
      if (nowMs - shownMs < REDRAW_MS) return;
      shownMs = nowMs;
      const waiting = `nothing yet, ${Math.round((nowMs - sinceMs) / 1_000)} s`; // pip takes seconds before it downloads
      stderr.write(CLEAR_LINE);
      stderr.write(`  ${bytes === 0 ? waiting : describeProgress(bytes, totalBytes)}`);
    },
    clear() {
      if (shownMs > 0) stderr.write(CLEAR_LINE);
      shownMs = 0;
    },
  };
}

const REDRAW_MS = 100;
const CLEAR_LINE = Buffer.from("\r\u001b[K"); // ECMA-48: erase to the end of the line; as bytes, because text is escaped

/** Shows a fetch of Envoy: notes by `print`, progress below them. */
export function showFetch(host: Host, print: (line: string) => void): FetchNews {
  const progress = createProgressLine(host);
  return {
    onNote(line) {
      progress.clear();
      print(line);
    },
    onProgress: progress.show,
    onEnd: progress.clear,
  };
}
