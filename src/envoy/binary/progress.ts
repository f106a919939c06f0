/** Hears how a fetch of Envoy goes. */
export interface FetchNews {
  /** One line of news. */
  readonly onNote: (line: string) => void;
  /** Called a few times a second with what has come, at most `totalBytes`, which is known for what is pinned. */
  readonly onProgress: (bytes: number, totalBytes: number | undefined) => void;
  /** The fetch is over, whatever came of it. */
  readonly onEnd: () => void;
}

/** `12.5 of 36.9 MB (33 %)`, or `12.5 MB` when the whole is not known. */
export function describeProgress(bytes: number, totalBytes: number | undefined): string {
  const megabytes = (some: number): string => (some / 1_000_000).toFixed(1);
  if (totalBytes === undefined) return `${megabytes(bytes)} MB`;
  const shown = Math.min(bytes, totalBytes);
  return `${megabytes(shown)} of ${megabytes(totalBytes)} MB (${Math.floor((100 * shown) / totalBytes)} %)`;
}

const LINE_EVERY_MS = 5_000;

/** A fetch as whole lines, for a log or a file: each note, and how far it is every 5 s. */
export function fetchNewsAsLines(write: (line: string) => void): FetchNews {
  let toldMs = performance.now();
  return {
    onNote: write,
    onProgress(bytes, totalBytes) {
      if (performance.now() - toldMs < LINE_EVERY_MS) return;
      toldMs = performance.now();
      write(`Fetching Envoy: ${describeProgress(bytes, totalBytes)}`);
    },
    onEnd: () => undefined,
  };
}
