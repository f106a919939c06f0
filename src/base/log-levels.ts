export type LogLevel = "debug" | "info" | "warn" | "error" | "fatal" | "none";

/** The least level that is written, by scope: the configured ones, and what is laid over them while the program runs. */
export class LogLevels {
  readonly #configured: ReadonlyMap<string, LogLevel>;
  readonly #changed = new Map<string, LogLevel>();

  constructor(configured: ReadonlyMap<string, LogLevel> = new Map()) {
    this.#configured = configured;
  }

  of(scope: string): LogLevel {
    return this.#changed.get(scope) ?? this.configuredOf(scope);
  }

  /** A scope that nobody has named is at `info`. */
  configuredOf(scope: string): LogLevel {
    return this.#configured.get(scope) ?? "info";
  }

  change(scope: string, level: LogLevel): void {
    this.#changed.set(scope, level);
  }

  /** The configured level counts again. */
  reset(scope: string): void {
    this.#changed.delete(scope);
  }
}
