// One name, one family: what several sources of a merged scrape have in common is declared once.

const HASH = 35;
const NEWLINE = 10;
/** Of all sources together; a body with more distinct names than this is no statistics. */
const MOST_NAMES = 100_000;

/**
 * The names of the families that the sources of one answer have. The text format allows one `# HELP` and one `# TYPE` per
 * name, both before the first sample: a parser refuses the whole document otherwise.
 */
export class FamilyNames {
  readonly #names = new Set<string>();

  has(name: string): boolean {
    return this.#names.has(name);
  }

  /** Notes what whole lines declare. */
  note(lines: Uint8Array): void {
    for (const { name } of declarations(lines)) this.#add(name);
  }

  /** The same for lines that it passes on as they are; for a source that declares each family. */
  async *noted(lines: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const piece of lines) {
      this.note(piece);
      yield piece;
    }
  }

  /**
   * Passes whole lines on, without the declarations of families that an earlier source has; their samples stay. Of samples
   * without a declaration those are noted that begin with `undeclared`.
   */
  async *withoutRepeats(lines: AsyncIterable<Uint8Array>, undeclared: string): AsyncGenerator<Uint8Array> {
    const own = new Set<string>(); // a source may say HELP and TYPE, one after the other
    try {
      for await (const piece of lines) {
        let from = 0;
        for (const { name, at, end } of declarations(piece)) {
          own.add(name);
          if (!this.#names.has(name)) continue;
          if (at > from) yield piece.subarray(from, at);
          from = end;
        }
        for (const name of sampleNames(piece, undeclared)) own.add(name);
        if (from < piece.length) yield piece.subarray(from);
      }
    } finally {
      for (const name of own) this.#add(name);
    }
  }

  #add(name: string): void {
    if (this.#names.size < MOST_NAMES) this.#names.add(name);
  }
}

interface Declaration {
  readonly name: string;
  /** Where its line begins, and the next one. */
  readonly at: number;
  readonly end: number;
}

const DECLARATION = /^# (?:HELP|TYPE|UNIT) ("(?:[^"\\]|\\.)*"|\S+)/;

/** The lines `# HELP`, `# TYPE` and `# UNIT` of whole lines. */
function* declarations(lines: Uint8Array): Generator<Declaration> {
  for (let at = lines.indexOf(HASH); at >= 0; at = lines.indexOf(HASH, at + 1)) {
    if (at > 0 && lines[at - 1] !== NEWLINE) continue;
    const end = lines.indexOf(NEWLINE, at) + 1;
    const [, name] = DECLARATION.exec(textOf(lines, at, end)) ?? [];
    if (name !== undefined) yield { name, at, end };
    at = end - 1;
  }
}

/** The names of the samples that begin with `start`; the empty text asks for all. */
function* sampleNames(lines: Uint8Array, start: string): Generator<string> {
  const before = Buffer.from(`\n${start.slice(0, 1)}`);
  const all = Buffer.from(lines.buffer, lines.byteOffset, lines.length);
  let last = "";
  for (let at = 0; at < all.length; ) {
    const name = nameAt(all, at);
    if (name !== last && name.startsWith(start)) yield name;
    last = name;
    const next = all.indexOf(before, at);
    if (next < 0) return;
    at = next + 1;
  }
}

const ENDS_OF_NAME: ReadonlySet<number | undefined> = new Set([..."{ \t\r\n"].map((end) => end.charCodeAt(0)));

function nameAt(lines: Uint8Array, at: number): string {
  let end = at;
  while (end < lines.length && !ENDS_OF_NAME.has(lines[end])) end++;
  return textOf(lines, at, end);
}

/** Names are compared, not shown: a byte is a character. */
function textOf({ buffer, byteOffset }: Uint8Array, at: number, end: number): string {
  return Buffer.from(buffer, byteOffset + at, end - at).toString("latin1");
}
