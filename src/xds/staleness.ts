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

interface Mark extends Stale {
  /** The Envoy's stream that was answered without the control plane. */
  readonly stream: number;
  /** The newest stream at that moment: an answer on it, or an older one, says nothing of that Envoy. */
  readonly newest: number;
}

/**
 * From the moment that Envoy gets its last-good configuration until the control plane answers a stream that is opened
 * after it; logged both times. Streams have ascending numbers.
 */
export class Staleness {
  readonly #options: StalenessOptions;
  /** One per Envoy: of the active one, and of the next one, which may not take over. */
  #marks: readonly Mark[] = [];
  #newest = 0;
  /** The newest stream when the newest Envoy was started. */
  #started = 0;
  #over = new AbortController();
  /** The control plane's first answer came after somebody had stood in for it; until an answer reaches Envoy. */
  isSlow = false;

  constructor(options: StalenessOptions) {
    this.#options = options;
    options.metrics.gauge(SERVED_LAST_GOOD, () => Number(this.#marks.length > 0));
  }

  get state(): Stale | undefined {
    const mark = this.#marks.at(-1);
    return mark && { acceptedMs: mark.acceptedMs, sinceMs: mark.sinceMs };
  }

  /** Aborts when the control plane has answered: stand-ins end. Ask for it after `begin`. */
  get over(): AbortSignal {
    return this.#over.signal;
  }

  /** Before it can be answered. */
  opened(stream: number): void {
    this.#newest = stream;
  }

  /** The next Envoy is started: streams that are opened from now on are its. Returns the way back. */
  turnToNext(): () => void {
    const [before, started] = [this.#started, this.#newest];
    this.#started = started;
    this.#marks = this.#marks.slice(-1);
    return () => {
      this.#started = before;
      this.#marks = this.#marks.filter(({ stream }) => stream <= started);
    };
  }

  /** Envoy gets what it accepted then. */
  begin(stream: number, acceptedMs: number, reason: string): void {
    const { log, clock } = this.#options;
    const accepted = utcTime(acceptedMs);
    const last = this.#marks.at(-1);
    if (last === undefined) {
      log.warn("The control plane is away: Envoy gets the last configuration that it accepted", { accepted, reason });
      this.#over = new AbortController();
    }
    const mark = { acceptedMs, sinceMs: last?.sinceMs ?? clock.now(), stream, newest: this.#newest };
    this.#marks = [...this.#marks.filter((one) => one.stream <= this.#started), mark];
  }

  /** The control plane has answered a stream of Envoy's. */
  end(stream: number): void {
    const last = this.#marks.at(-1);
    this.#marks = this.#marks.filter(({ newest }) => stream <= newest);
    if (this.#marks.length > 0) return;
    this.isSlow = false;
    if (last === undefined) return;
    const staleMs = this.#options.clock.now() - last.sinceMs;
    this.#over.abort();
    this.#options.log.info("The control plane answers: Envoy's configuration is up to date again", { staleMs });
  }
}
