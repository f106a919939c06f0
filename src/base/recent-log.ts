import { type LogFields, type Logger, textValue } from "./log.ts";
import type { LogLevel } from "./log-levels.ts";

/** A line of a log as its parts. */
export interface LogLine {
  /** Milliseconds since the epoch. */
  readonly timeMs: number;
  readonly level: LogLevel;
  /** Empty for the default scope. */
  readonly scope: string;
  /** Message and fields. */
  readonly text: string;
}

const MOST_LINES = 100;
const MOST_CHARACTERS = 1_000;

/** A logger that also keeps its last lines in memory: those of `info` and above, and `debug` where that is written. */
export interface RecentLog {
  readonly log: Logger;
  /** The newest last. */
  lines(): readonly LogLine[];
}

export function keepRecent(log: Logger): RecentLog {
  const kept: LogLine[] = [];
  const keep = (line: LogLine): void => {
    kept.push(line);
    if (kept.length > MOST_LINES) kept.shift();
  };
  return { log: loggerOf(log, "", keep), lines: () => kept };
}

function loggerOf(log: Logger, scope: string, keep: (line: LogLine) => void): Logger {
  const at = (level: "debug" | "info" | "warn" | "error") => (message: string, fields?: LogFields) => {
    log[level](message, fields);
    if (level !== "debug" || log.isEnabled("debug")) {
      keep({ timeMs: Date.now(), level, scope, text: textOf(message, fields) });
    }
  };
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    scope: (name) => loggerOf(log.scope(name), name, keep),
    isEnabled: (level) => log.isEnabled(level),
    ...(log.levels === undefined ? {} : { levels: log.levels }),
  };
}

function textOf(message: string, fields: LogFields = {}): string {
  const labels = Object.entries(fields).map(([name, value]) => ` ${name}=${textValue(value)}`);
  const text = message + labels.join("");
  return text.length <= MOST_CHARACTERS ? text : `${text.slice(0, MOST_CHARACTERS)}…`;
}
