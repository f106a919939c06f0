export interface Thresholds {
  readonly successThreshold: number;
  readonly failureThreshold: number;
}

/**
 * From answers to verdicts: a verdict changes when as many answers in a row as its threshold say so, and nothing is said
 * before. Source: istio/istio pkg/istio-agent/health/health_check.go (`PerformApplicationHealthCheck`).
 */
export class Verdicts {
  readonly #thresholds: Thresholds;
  #verdict: "healthy" | "unhealthy" | undefined;
  #last: boolean | undefined;
  #inRow = 0;

  constructor(thresholds: Thresholds) {
    this.#thresholds = thresholds;
  }

  /** Undefined before the first. */
  get verdict(): "healthy" | "unhealthy" | undefined {
    return this.#verdict;
  }

  /** Whether this answer changes the verdict. */
  take(isHealthy: boolean): boolean {
    const { successThreshold, failureThreshold } = this.#thresholds;
    this.#inRow = this.#last === isHealthy ? this.#inRow + 1 : 1;
    this.#last = isHealthy;
    const next = isHealthy ? "healthy" : "unhealthy";
    if (next === this.#verdict || this.#inRow < (isHealthy ? successThreshold : failureThreshold)) return false;
    this.#verdict = next;
    return true;
  }
}
