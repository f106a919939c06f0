// OpenMetrics as the plain text format, for an answer whose parts have different forms.

/**
 * Whole lines of an OpenMetrics body in text format 0.0.4: without units, exemplars and end marks, with types that the
 * format has, and times in milliseconds. Source: OpenMetrics 1.0, "ABNF"; Prometheus' exposition formats.
 */
export async function* openMetricsAsText(lines: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const decoder = new TextDecoder();
  const converter = new Converter();
  for await (const piece of lines) {
    const out = decoder
      .decode(piece) // whole lines: no character is cut in two
      .split("\n")
      .map((line) => converter.convert(line.endsWith("\r") ? line.slice(0, -1) : line))
      .join("");
    if (out !== "") yield Buffer.from(out);
  }
}

interface Family {
  readonly name: string;
  type?: string;
  help?: string;
}

const DECLARATION = /^# (HELP|TYPE|UNIT) ("(?:[^"\\]|\\.)*"|\S+) ?(.*)$/;
/** Name and labels, value, time, and an exemplar. */
const SAMPLE = /^([^\s{]*(?:\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})?)\s+(\S+)(?:\s+([^\s#]+))?(?:\s+#\s.*)?$/;

/** Of types that the text format lacks; undefined: the samples stand without a type. */
const TYPES: ReadonlyMap<string, string | undefined> = new Map([
  ["info", "gauge"],
  ["stateset", "gauge"],
  ["unknown", "untyped"],
  ["gaugehistogram", undefined],
]);
/** What the name of a family of this type lacks of the name of its samples. */
const SUFFIXES: ReadonlyMap<string, string> = new Map([
  ["counter", "_total"],
  ["info", "_info"],
]);

class Converter {
  /** Declared, and without a sample so far: HELP may come before TYPE, which decides on the name. */
  #declared: Family | undefined;

  /** Empty, or one or more lines with their ends. */
  convert(line: string): string {
    if (line.startsWith("#")) {
      this.#declare(line);
      return "";
    }
    if (line === "") return "";
    const [, series = "", value = "", seconds] = SAMPLE.exec(line) ?? [];
    const ms = Math.round(Number(seconds) * 1_000); // NaN without one
    const time = Number.isFinite(ms) ? ` ${ms}` : "";
    return `${this.#declaration(line)}${value === "" ? line : `${series} ${value}${time}`}\n`;
  }

  #declare(line: string): void {
    const [, word, name = "", text = ""] = DECLARATION.exec(line) ?? [];
    if (word === undefined) return;
    if (this.#declared?.name !== name) this.#declared = { name };
    if (word === "TYPE") this.#declared.type = text;
    if (word === "HELP") this.#declared.help = text.replaceAll('\\"', '"'); // an escape that the text format lacks
  }

  /** What comes before the first sample of a family. */
  #declaration(sample: string): string {
    const { name, type = "unknown", help } = this.#declared ?? {};
    this.#declared = undefined;
    if (name === undefined) return "";
    const suffix = SUFFIXES.get(type) ?? "";
    const full = sample.startsWith(name + suffix) ? name + suffix : name;
    const known = TYPES.has(type) ? TYPES.get(type) : type;
    if (known === undefined) return "";
    return `${help === undefined ? "" : `# HELP ${full} ${help}\n`}# TYPE ${full} ${known}\n`;
  }
}
