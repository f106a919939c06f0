import {
  type Clock,
  escapeText,
  formatGoDuration,
  fromMs,
  type Logger,
  type LogLevel,
  type LogLevels,
  parseGoDuration,
  pause,
  systemClock,
  toMs,
} from "../base/index.ts";
import { type Outcome, plainError, type Route } from "./route.ts";

export interface LoggingOptions {
  readonly levels: LogLevels;
  /** Every scope there is. */
  readonly scopes: readonly string[];
  /** Reads `debug` or `xdsproxy:debug,sds:warn`; throws for what is none. */
  readonly parse: (text: string) => ReadonlyMap<string, LogLevel>;
  readonly log: Logger;
  /** Nothing is awaited after it. */
  readonly stop: AbortSignal;
  readonly clock?: Clock;
}

const LOGGING_PATH = "/debug/logging";
const DEFAULT_FOR_MS = 15 * 60_000;
const LONGEST_FOR_MS = 24 * 60 * 60_000;

/**
 * GET shows the level of each scope; `POST ?level=xdsproxy:debug&for=10m` changes some for a time, `POST ?reset` ends that.
 * After the time (15 minutes by default, a day at most) the configured levels count again. 400 for what cannot be read.
 */
export function loggingRoute(options: LoggingOptions): Route {
  const changes = new Changes(options);
  return {
    path: LOGGING_PATH,
    access: "this machine, no web page",
    answer({ request, query }) {
      if (request.method === "GET" || request.method === "HEAD") return changes.show();
      if (request.method !== "POST") return { ...plainError("Method Not Allowed"), status: 405 };
      try {
        changes.apply(new URLSearchParams(query));
        return changes.show();
      } catch (error) {
        return { ...plainError(escapeText((error as Error).message)), status: 400 };
      }
    },
  };
}

/** The changes that hold now, by scope. */
class Changes {
  readonly #options: LoggingOptions;
  readonly #clock: Clock;
  readonly #untilMs = new Map<string, number>();

  constructor(options: LoggingOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  show(): Outcome {
    const { levels, scopes } = this.#options;
    const rows = scopes.map((scope) => {
      const untilMs = this.#untilMs.get(scope);
      const until = untilMs === undefined ? {} : { configured: levels.configuredOf(scope), until: isoTime(untilMs) };
      return [scope, { level: levels.of(scope), ...until }] as const;
    });
    return { status: 200, body: JSON.stringify(Object.fromEntries(rows)), contentType: "application/json" };
  }

  /** Throws an Error that says what is wrong; then nothing is changed. */
  apply(words: URLSearchParams): void {
    const strange = [...words.keys()].find((name) => !["level", "for", "reset"].includes(name));
    if (strange !== undefined) throw new Error(`Unknown parameter "${strange}", wanted level, for or reset`);
    if (words.has("reset")) {
      this.#end([...this.#untilMs.keys()]);
      return;
    }
    const text = words.get("level");
    if (text === null || text === "") throw new Error("Missing level, for example ?level=xdsproxy:debug&for=10m");
    const wanted = this.#options.parse(text);
    const unknown = [...wanted.keys()].find((scope) => !this.#options.scopes.includes(scope));
    if (unknown !== undefined) {
      throw new Error(`Unknown scope "${unknown}", wanted one of ${this.#options.scopes.join(", ")}, or all`);
    }
    this.#change(wanted, readFor(words.get("for")));
  }

  #change(wanted: ReadonlyMap<string, LogLevel>, forMs: number): void {
    const { levels, log, stop } = this.#options;
    const untilMs = this.#clock.now() + forMs;
    for (const [scope, level] of wanted) {
      levels.change(scope, level);
      this.#untilMs.set(scope, untilMs);
    }
    const what = [...wanted].map(([scope, level]) => `${scope}:${level}`).join(",");
    log.info("Log levels changed", { levels: what, for: formatGoDuration(fromMs(forMs)), until: isoTime(untilMs) });
    void pause(forMs, stop, this.#clock).then(() => {
      if (stop.aborted) return;
      this.#end([...wanted.keys()].filter((scope) => this.#untilMs.get(scope) === untilMs)); // a later change has its own
    });
  }

  #end(scopes: readonly string[]): void {
    const { levels, log } = this.#options;
    for (const scope of scopes) {
      levels.reset(scope);
      this.#untilMs.delete(scope);
    }
    if (scopes.length > 0) log.info("Log levels are as configured again", { scopes: scopes.join(",") });
  }
}

/** Throws an Error that says what is wrong. */
function readFor(text: string | null): number {
  if (text === null) return DEFAULT_FOR_MS;
  const duration = parseGoDuration(text);
  const forMs = duration === undefined ? 0 : toMs(duration);
  if (forMs > 0 && forMs <= LONGEST_FOR_MS) return forMs;
  throw new Error(`Cannot use for="${text}", wanted a duration such as 90s or 10m, 24h at most`);
}

const isoTime = (ms: number): string => new Date(ms).toISOString();
