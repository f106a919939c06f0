const KEPT_LINES = 100;
const KEPT_LINE_LENGTH = 2_000;

/** The last lines of a stream, in bounded memory. */
export class Tail {
  readonly #lines: string[] = [];
  #rest = "";

  add(chunk: Buffer): void {
    const parts = (this.#rest + chunk.toString("utf8")).split("\n");
    this.#rest = (parts.pop() ?? "").slice(-KEPT_LINE_LENGTH);
    for (const line of parts.slice(-KEPT_LINES)) this.#lines.push(line.slice(0, KEPT_LINE_LENGTH));
    if (this.#lines.length > KEPT_LINES) this.#lines.splice(0, this.#lines.length - KEPT_LINES);
  }

  lines(): readonly string[] {
    return this.#rest === "" ? [...this.#lines] : [...this.#lines, this.#rest];
  }
}
