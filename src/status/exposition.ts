// The forms of Prometheus' exposition that are merged. Protobuf is not among them: it cannot be joined to text.

export const TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8";
const OPENMETRICS = "application/openmetrics-text";

/** What is certainly no list of metrics: protobuf, and the pages that many applications have for any path. */
const FOREIGN = new Set(["application/vnd.google.protobuf", "text/html", "application/json"]);

/** The form of an application's answer, as a `Content-Type`; undefined for one that cannot be merged. */
export function formatOf(contentType: string | undefined): string | undefined {
  const [type = "", ...parameters] = (contentType ?? "").split(";").map((part) => part.trim().toLowerCase());
  if (FOREIGN.has(type)) return undefined;
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
const END_MARK = Buffer.from("# EOF");
/** Far above any sample with its labels. */
const MOST_LINE_BYTES = 2 ** 20;

/**
 * Whole lines of a body, as they come: a line that the body breaks off in is left out, and so is a final `# EOF`, which
 * stands once at the end of everything. `onBreak` is told why it broke off. What is passed on is not copied, except for the
 * line in which one piece ends and the next begins.
 */
export async function* wholeLines(
  body: AsyncIterable<Uint8Array>,
  onBreak: (error: unknown) => void,
): AsyncGenerator<Uint8Array> {
  let held: Buffer = Buffer.alloc(0); // a line without its end, or an end mark and what follows it
  try {
    for await (const one of body) {
      let piece = asBuffer(one);
      if (held.length > 0) {
        const line = piece.indexOf(NEWLINE) + 1;
        if (decidesEndMark(piece, line)) {
          yield Buffer.concat([held, piece.subarray(0, line)]);
          piece = piece.subarray(line);
        } else piece = Buffer.concat([held, piece]);
      }
      const end = endMarkAt(piece, piece.lastIndexOf(NEWLINE) + 1);
      if (end > 0) yield piece.subarray(0, end);
      held = Buffer.from(piece.subarray(end)); // a copy: the rest of the piece can go
      if (held.length > MOST_LINE_BYTES) throw new Error("a line is longer than 1 MiB");
    }
  } catch (error) {
    onBreak(error);
    held = held.subarray(0, held.lastIndexOf(NEWLINE) + 1);
  }
  const rest = held.subarray(0, endMarkAt(held, held.length));
  if (rest.length > 0) yield rest.at(-1) === NEWLINE ? rest : Buffer.concat([rest, Buffer.from("\n")]);
}

const asBuffer = ({ buffer, byteOffset, length }: Uint8Array): Buffer => Buffer.from(buffer, byteOffset, length);

/** Whether whole lines that follow the first one of a piece say something: then an end mark before them is none. */
function decidesEndMark(piece: Buffer, line: number): boolean {
  return line > 0 && blanksFrom(piece, piece.lastIndexOf(NEWLINE) + 1) > line;
}

/** Where a line `# EOF` begins after which only blanks come until `end`; `end` when there is none. */
function endMarkAt(all: Buffer, end: number): number {
  const at = blanksFrom(all, end) - END_MARK.length;
  const isMark =
    at >= 0 && (at === 0 || all[at - 1] === NEWLINE) && END_MARK.compare(all, at, at + END_MARK.length) === 0;
  return isMark ? at : end;
}

/** Where the blanks and line ends begin that stand before `end`. */
function blanksFrom(all: Buffer, end: number): number {
  let at = end;
  while (at > 0 && BLANKS.includes(all[at - 1] ?? 0)) at--;
  return at;
}

const BLANKS: readonly number[] = [..." \t\r\n"].map((blank) => blank.charCodeAt(0));
