import type { Host } from "../base/index.ts";

/** A line on the terminal that is written over again and again. */
export interface ProgressLine {
  /** Shows how much has come; does nothing where stderr is no terminal. */
  show(bytes: number, totalBytes: number | undefined): void;
  /** Takes the line away. */
  clear(): void;
}

/** A progress line on stderr. */
export function createProgressLine({ stderr }: Host): ProgressLine {
  const isTerminal = "isTTY" in stderr && stderr.isTTY === true;
  let shownMs = 0;
  return {
    show(bytes, totalBytes) {
      if (!isTerminal || performance.now() - shownMs < REDRAW_MS) return;
      shownMs = performance.now();
      stderr.write(`${CLEAR_LINE}  ${describeProgress(bytes, totalBytes)}`);
    },
    clear() {
      if (shownMs > 0) stderr.write(CLEAR_LINE);
    },
  };
}

const REDRAW_MS = 100;
const CLEAR_LINE = "\r\u001b[K"; // ECMA-48: erase to the end of the line

/** `12.5 of 36.9 MB (34 %)`, or `12.5 MB` when the whole is not known. */
export function describeProgress(bytes: number, totalBytes: number | undefined): string {
  const megabytes = (some: number): string => (some / 1_000_000).toFixed(1);
  if (totalBytes === undefined) return `${megabytes(bytes)} MB`;
  const percent = Math.min(100, Math.floor((100 * bytes) / totalBytes));
  return `${megabytes(bytes)} of ${megabytes(totalBytes)} MB (${percent} %)`;
}
