import { inspect } from "node:util";
import { escapeLine, escapeText } from "./escape.ts";
import { type LogLevel, LogLevels } from "./log-levels.ts";
import { Secret } from "./secret.ts";

const RANK: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3, fatal: 4, none: 5 };

export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** The same logger under the name of a part of the program, which may have a level of its own. */
  scope(name: string): Logger;
  isEnabled(level: LogLevel): boolean;
  /** The levels of all scopes of this log, which may be changed. Absent where nothing is written. */
  readonly levels?: LogLevels;
}

export type LogFields = Readonly<Record<string, unknown>>;

export interface LogOptions {
  /** Takes one finished line, its newline included. Must not throw. */
  readonly write: (line: string) => void;
  /** JSON lines instead of tab-separated text. Default false. */
  readonly asJson?: boolean;
  /** Messages keep their line ends in text, for listings; by default a message is one line. */
  readonly keepsLines?: boolean;
  /** Least level that is written, by scope. A scope that is not named is at `info`. */
  readonly levels?: ReadonlyMap<string, LogLevel>;
  /** Scopes whose lines name the calling file and line; `all` means every scope. */
  readonly callers?: ReadonlySet<string>;
  /** Level from which a stack trace is added, by scope. Default: never. */
  readonly stackLevels?: ReadonlyMap<string, LogLevel>;
}

/**
 * A logger with two line formats. Text: `time TAB level TAB [scope TAB] [caller TAB] message
 * [TAB k=v k=v]`; JSON: keys `level time scope caller msg`, the fields, `stack`. The default scope has no name.
 * Whatever a message or a field holds, it stays one line unless lines are kept, and nothing in it moves a cursor.
 * Source: istio/istio pkg/log (config.go, scope.go).
 */
export function createLogger(options: LogOptions): Logger {
  return loggerOf("default", options, new LogLevels(options.levels));
}

const nothing = (): void => undefined;

export const silentLogger: Logger = {
  ...{ debug: nothing, info: nothing, warn: nothing, error: nothing },
  scope: () => silentLogger,
  isEnabled: () => false,
};

function loggerOf(scope: string, options: LogOptions, levels: LogLevels): Logger {
  const isEnabled = (level: LogLevel): boolean => RANK[level] >= RANK[levels.of(scope)];
  const at = (level: LogLevel) => (message: string, fields?: LogFields) => {
    if (isEnabled(level)) options.write(formatLine(scope, level, message, fields, options));
  };
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    scope: (name) => loggerOf(name, options, levels),
    isEnabled,
    levels,
  };
}

function formatLine(
  scope: string,
  level: LogLevel,
  message: string,
  fields: LogFields | undefined,
  options: LogOptions,
): string {
  const wantsCaller = options.callers !== undefined && (options.callers.has(scope) || options.callers.has("all"));
  const wantsStack = RANK[level] >= RANK[options.stackLevels?.get(scope) ?? "none"] && level !== "none";
  const stack = wantsCaller || wantsStack ? callStack() : [];
  const caller = wantsCaller ? shortLocation(stack[0]) : undefined;
  const time = timestamp();
  if (options.asJson === true) {
    const line: Record<string, unknown> = { level, time };
    if (scope !== "default") line.scope = scope;
    if (caller !== undefined) line.caller = caller;
    line.msg = message;
    for (const [key, value] of Object.entries(fields ?? {})) line[key] = jsonValue(value);
    if (wantsStack) line.stack = stack.join("\n");
    return `${escapeText(JSON.stringify(line))}\n`;
  }
  const columns = [time, level];
  if (scope !== "default") columns.push(scope);
  if (caller !== undefined) columns.push(caller);
  columns.push(message);
  const labels = Object.entries(fields ?? {}).map(([key, value]) => `${key}=${textValue(value)}`);
  if (labels.length > 0) columns.push(labels.join(" "));
  const escaped = options.keepsLines === true ? escapeEachLine : escapeLine;
  return `${columns.map(escaped).join("\t")}\n${wantsStack ? `${stack.map(escapeLine).join("\n")}\n` : ""}`;
}

function escapeEachLine(text: string): string {
  return text.split("\n").map(escapeLine).join("\n");
}

/** UTC with six decimals: `2026-08-01T10:00:00.000123Z`. */
function timestamp(): string {
  const micros = Math.trunc((performance.timeOrigin + performance.now()) * 1_000);
  const fraction = (micros % 1_000).toString().padStart(3, "0");
  return new Date(micros / 1_000).toISOString().replace("Z", `${fraction}Z`);
}

function callStack(): string[] {
  const lines = (new Error().stack ?? "").split("\n").slice(1);
  return lines.filter((line) => !/[/\\]base[/\\]log\.[jt]s/.test(line)).map((line) => line.trim());
}

/** `at f (/a/b/c.ts:3:5)` becomes `b/c.ts:3`. */
function shortLocation(frame: string | undefined): string | undefined {
  return /([^/\\]+[/\\][^/\\:]+:\d+):\d+\)?$/.exec(frame ?? "")?.[1];
}

/** A field in a line of text. */
export function textValue(value: unknown): string {
  if (typeof value === "string") return value;
  if (value instanceof Error) return value.message;
  if (typeof value === "object" && value !== null && !(value instanceof Secret)) {
    return inspect(value, { breakLength: Number.POSITIVE_INFINITY });
  }
  return String(value);
}

function jsonValue(value: unknown): unknown {
  if (value instanceof Error) return value.message;
  return typeof value === "bigint" ? value.toString() : value;
}
