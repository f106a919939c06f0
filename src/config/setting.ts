import { formatGoDuration, fromMs, parseGoBool, parseGoDuration, parseGoFloat, toMs } from "../base/index.ts";

/** How the text of a variable becomes a value. */
export interface Parser<T> {
  /** Undefined for text that is no such value. */
  readonly parse: (text: string) => T | undefined;
  /** For the message about a value that cannot be parsed, after "expecting". */
  readonly wanted: string;
  readonly print: (value: T) => string;
}

/** One variable of the environment. */
export interface Setting<T> {
  readonly env: string;
  readonly type: string;
  readonly parser: Parser<T>;
  readonly default: T;
  readonly help: string;
  /** The room that uses it. */
  readonly room: string;
  /** Its value is never shown. */
  readonly isSecret?: boolean;
  /** What follows from setting it, where that changes nothing: a warning, after "has no effect: ". A test compares this with the code. */
  readonly withoutEffect?: string;
  /** The role that the warning is for. Default: all. */
  readonly onlyFor?: "sidecar";
}

const STRING: Parser<string> = { parse: (text) => text, wanted: "a string", print: (value) => value };
const BOOL: Parser<boolean> = { parse: parseGoBool, wanted: "true/false", print: String };
/** 64 bits; beyond 2^53 a number is as near as a double comes. */
const INT: Parser<number> = {
  parse: (text) => {
    if (!/^[+-]?\d+$/.test(text)) return undefined;
    const value = BigInt(text.replace("+", ""));
    return value === BigInt.asIntN(64, value) ? Number(value) : undefined;
  },
  wanted: "an integer",
  print: String,
};
const INT32: Parser<number> = {
  ...INT,
  parse: (text) => {
    const value = INT.parse(text);
    return value !== undefined && value === (value | 0) ? value : undefined;
  },
};
const FLOAT: Parser<number> = { parse: parseGoFloat, wanted: "a floating-point value", print: String };
const DURATION_MS: Parser<number> = {
  parse: (text) => {
    const duration = parseGoDuration(text);
    return duration === undefined ? undefined : toMs(duration);
  },
  wanted: "a duration",
  print: (ms) => formatGoDuration(fromMs(ms)),
};
const LIST: Parser<readonly string[]> = {
  parse: (text) =>
    text
      .split(",")
      .map((item) => item.trim())
      .filter((item) => item !== ""),
  wanted: "a comma list",
  print: (value) => value.join(","),
};
export const TRI_STATE: Parser<boolean | undefined> = {
  parse: parseGoBool,
  wanted: "true/false",
  print: (value) => (value === undefined ? "" : String(value)),
};
export const oneOf = <const V extends readonly string[]>(...values: V): Parser<V[number]> => ({
  parse: (text) => values.find((value) => value === text),
  wanted: values.map((value) => (value === "" ? "empty" : value)).join(", "),
  print: (value) => value,
});

/** How much memory something may take: nothing said, a share of what the machine allows, or so many bytes. */
export type MemoryLimit =
  | { readonly kind: "off" }
  | { readonly kind: "percent"; readonly percent: number }
  | { readonly kind: "bytes"; readonly bytes: number };

const UNITS: Readonly<Record<string, number>> = { "": 1, Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30 };

export const MEMORY_LIMIT: Parser<MemoryLimit> = {
  parse(text) {
    if (text === "") return { kind: "off" };
    const [, digits = "", unit = ""] = /^(\d+)(%|Ki|Mi|Gi|)$/.exec(text) ?? [];
    const number = Number(digits);
    if (number === 0) return undefined;
    if (unit === "%") return number <= 100 ? { kind: "percent", percent: number } : undefined;
    const bytes = number * (UNITS[unit] ?? 1);
    return Number.isSafeInteger(bytes) ? { kind: "bytes", bytes } : undefined;
  },
  wanted: 'a percentage such as "80%", or bytes such as "512Mi"',
  print: (limit) => (limit.kind === "off" ? "" : limit.kind === "percent" ? `${limit.percent}%` : String(limit.bytes)),
};

type Row<T> = Omit<Setting<T>, "type" | "parser">;
export const string = (row: Row<string>): Setting<string> => ({ ...row, type: "string", parser: STRING });
export const bool = (row: Row<boolean>): Setting<boolean> => ({ ...row, type: "bool", parser: BOOL });
export const int = (row: Row<number>): Setting<number> => ({ ...row, type: "int", parser: INT });
export const int32 = (row: Row<number>): Setting<number> => ({ ...row, type: "int", parser: INT32 });
export const float = (row: Row<number>): Setting<number> => ({ ...row, type: "float", parser: FLOAT });
export const durationMs = (row: Row<number>): Setting<number> => ({ ...row, type: "duration", parser: DURATION_MS });
export const list = (row: Row<readonly string[]>): Setting<readonly string[]> => ({
  ...row,
  type: "list",
  parser: LIST,
});
