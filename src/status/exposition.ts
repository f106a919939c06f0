// The forms of Prometheus' exposition that are merged. Protobuf is not among them: it cannot be joined to text.

export const TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8";
const OPENMETRICS = "application/openmetrics-text";

/** The form of an application's answer, as a `Content-Type`; undefined for one that cannot be merged. */
export function formatOf(contentType: string | undefined): string | undefined {
  const [type = "", ...parameters] = (contentType ?? "").split(";").map((part) => part.trim().toLowerCase());
  if (type === "application/vnd.google.protobuf") return undefined;
  if (type !== OPENMETRICS) return TEXT_FORMAT;
  const version = parameters.find((one) => one.startsWith("version="))?.slice("version=".length);
  if (version === undefined || version === "0.0.1") return `${OPENMETRICS}; version=0.0.1; charset=utf-8`;
  return version === "1.0.0" ? `${OPENMETRICS}; version=1.0.0; charset=utf-8` : TEXT_FORMAT;
}

export function isOpenMetrics(format: string): boolean {
  return format.startsWith(OPENMETRICS);
}

/** What all parts of one answer can be called: their form where it is one, else plain text. */
export function commonFormat(formats: readonly string[]): string {
  const [first = TEXT_FORMAT] = formats;
  return formats.every((one) => one === first) ? first : TEXT_FORMAT;
}

const NEWLINE = 10;
const EOF = Buffer.from("# EOF");
/** In which an end mark and the blanks after it are looked for. */
const TAIL_BYTES = 1_024;
/** Far above any sample with its labels. */
const MOST_LINE_BYTES = 2 ** 20;

/**
 * Whole lines of a body, as they come: a line that the body breaks off in is left out, and so is a final `# EOF`, which
 * stands once at the end of everything. `onBreak` is told why it broke off.
 */
export async function* wholeLines(
  body: AsyncIterable<Uint8Array>,
  onBreak: (error: unknown) => void,
): AsyncGenerator<Uint8Array> {
  let held: Buffer = Buffer.alloc(0); // what may be the last lines
  try {
    for await (const piece of body) {
      const all =
        held.length === 0 ? Buffer.from(piece.buffer, piece.byteOffset, piece.length) : Buffer.concat([held, piece]);
      const end = safeEnd(all);
      if (end > 0) yield all.subarray(0, end);
      held = Buffer.from(all.subarray(end));
      if (held.length > MOST_LINE_BYTES) throw new Error("a line is longer than 1 MiB");
    }
  } catch (error) {
    onBreak(error);
    const end = held.lastIndexOf(NEWLINE) + 1;
    if (end > 0) yield withoutEof(held.subarray(0, end));
    return;
  }
  const rest = withoutEof(held);
  if (rest.length > 0) yield rest.at(-1) === NEWLINE ? rest : Buffer.concat([rest, Buffer.from("\n")]);
}

/** Up to the last line that begins like `# EOF`, or is not whole yet. */
function safeEnd(all: Buffer): number {
  const lineEnd = all.lastIndexOf(NEWLINE) + 1;
  const tail = all.subarray(0, lineEnd).toString("latin1", Math.max(0, lineEnd - TAIL_BYTES));
  if (!/(^|\n)# EOF\s*$/.test(tail)) return lineEnd;
  return Math.max(0, all.lastIndexOf(EOF, lineEnd));
}

/** Cuts a final `# EOF` and what blank follows it. */
function withoutEof(all: Buffer): Buffer {
  const at = all.lastIndexOf(EOF);
  const isLast =
    at >= 0 &&
    (at === 0 || all[at - 1] === NEWLINE) &&
    all
      .subarray(at + EOF.length)
      .toString()
      .trim() === "";
  return isLast ? all.subarray(0, at) : all;
}
