import { type Clock, type Logger, type Metrics, utcTime } from "../base/index.ts";
import { SERVED_LAST_GOOD } from "./metrics.ts";

/** Envoy was given a configuration that the control plane has not confirmed since. JSON-ready; milliseconds since the epoch. */
export interface Stale {
  /** When Envoy accepted it from the control plane. */
  readonly acceptedMs: number;
  readonly sinceMs: number;
}

export interface StalenessOptions {
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly clock: Clock;
}

/** From the moment that Envoy gets its last-good configuration until the control plane answers again; logged both times. */
export class Staleness {
  readonly #options: StalenessOptions;
  #stale: Stale | undefined;
  #over = new AbortController();
  /** The control plane's first answer came after somebody had stood in for it; until an answer reaches Envoy. */
  isSlow = false;

  constructor(options: StalenessOptions) {
    this.#options = options;
    options.metrics.gauge(SERVED_LAST_GOOD, () => Number(this.#stale !== undefined));
  }

  get state(): Stale | undefined {
    return this.#stale;
  }

  /** Aborts when the control plane has answered: stand-ins end. Ask for it after `begin`. */
  get over(): AbortSignal {
    return this.#over.signal;
  }

  /** Envoy gets what it accepted then. */
  begin(acceptedMs: number, reason: string): void {
    const { log, clock } = this.#options;
    const accepted = utcTime(acceptedMs);
    if (this.#stale === undefined) {
      log.warn("The control plane is away: Envoy gets the last configuration that it accepted", { accepted, reason });
      this.#over = new AbortController();
    }
    this.#stale = { acceptedMs, sinceMs: this.#stale?.sinceMs ?? clock.now() };
  }

  /** The control plane has answered a stream of Envoy's. */
  end(): void {
    this.isSlow = false;
    if (this.#stale === undefined) return;
    const staleMs = this.#options.clock.now() - this.#stale.sinceMs;
    this.#stale = undefined;
    this.#over.abort();
    this.#options.log.info("The control plane answers: Envoy's configuration is up to date again", { staleMs });
  }
}
