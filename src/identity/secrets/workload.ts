import { AgentError, type Backoff, backoffMs, type Clock, describeError, type Logger } from "../../base/index.ts";
import { ToldReasons } from "../../grpc/index.ts";
import type { IssuedCertificate } from "../ca/issue.ts";
import { clockSkewMs, rotationFloorMs, rotationRetryCapMs, rotationTime } from "./rotation.ts";

export interface WorkloadOptions {
  /** One request to the CA, with its retries. */
  readonly issue: (signal: AbortSignal) => Promise<IssuedCertificate>;
  /** `SECRET_GRACE_PERIOD_RATIO` and its jitter. */
  readonly ratio: number;
  readonly jitter: number;
  /** A new certificate is in place; `before` is the one it replaces. */
  readonly onIssued: (issued: IssuedCertificate, before: IssuedCertificate | undefined) => void;
  readonly log: Logger;
  readonly clock: Clock;
  readonly random: () => number;
}

/** The workload's certificate: kept fresh from the first request for it until disposal, whether anyone looks or not. */
export interface Workload extends AsyncDisposable {
  /** The certificate in use; asks the CA if there is none yet. Requests at the same time share one. */
  get(): Promise<IssuedCertificate>;
  readonly current: IssuedCertificate | undefined;
  /** When the certificate in use is going to be replaced. */
  readonly nextRotationMs: number | undefined;
  /** Why the last request to the CA failed; undefined since the last success. */
  readonly lastError: unknown;
  /** When the first one failed since then. */
  readonly failingSinceMs: number | undefined;
  /** Replaces the certificate after about `delayMs`, not sooner than the CA may be asked again. */
  reissueIn(delayMs: number): void;
  /** Something changed that may make a failing request succeed: try now. */
  nudge(): void;
}

/** Source: istio/istio pkg/backoff (defaults). */
const WARM_UP: Backoff = { initialMs: 500, factor: 1.5, maxMs: 60_000, jitter: 0.5 };

/** The wall clock is looked at this often, because timers stand still while a machine sleeps. */
const LOOK_MS = 60_000;

/** With less than this share of its life left, a certificate that cannot be renewed is an error. */
const ALARMING_SHARE = 0.1;

export function createWorkload(options: WorkloadOptions, stop: AbortSignal): Workload {
  return new KeptWorkload(options, stop);
}

class KeptWorkload implements Workload {
  readonly #options: WorkloadOptions;
  readonly #closing = new AbortController();
  readonly #signal: AbortSignal;
  #loop: Promise<void> | undefined;
  #issuing: Promise<IssuedCertificate> | undefined;
  #current: IssuedCertificate | undefined;
  #rotateAtMs: number | undefined;
  #failures = 0;
  #lastError: unknown;
  #failingSinceMs: number | undefined;
  readonly #told = new ToldReasons();
  #wake = new AbortController();

  constructor(options: WorkloadOptions, stop: AbortSignal) {
    this.#options = options;
    this.#signal = AbortSignal.any([stop, this.#closing.signal]);
    this.#signal.addEventListener("abort", () => this.nudge());
  }

  get current(): IssuedCertificate | undefined {
    return this.#current;
  }

  get nextRotationMs(): number | undefined {
    return this.#rotateAtMs;
  }

  get lastError(): unknown {
    return this.#lastError;
  }

  get failingSinceMs(): number | undefined {
    return this.#failingSinceMs;
  }

  async get(): Promise<IssuedCertificate> {
    this.#loop ??= this.#keepFresh();
    return this.#current ?? this.#request();
  }

  reissueIn(delayMs: number): void {
    if (this.#current === undefined || this.#rotateAtMs === undefined) return; // the first one is on its way
    const earliestMs = this.#current.createdAtMs + rotationFloorMs(this.#current);
    const wantedMs = Math.max(this.#options.clock.now() + delayMs, earliestMs);
    if (wantedMs >= this.#rotateAtMs) return;
    this.#rotateAtMs = wantedMs;
    this.nudge();
  }

  nudge(): void {
    this.#wake.abort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new Error("the agent is stopping"));
    await this.#loop;
    await this.#issuing?.catch(() => undefined); // whoever asked got the failure
  }

  async #keepFresh(): Promise<void> {
    while (!this.#signal.aborted) {
      if (this.#isDue()) await this.#request().catch((error) => this.#report(error));
      await this.#sleep(this.#waitMs());
    }
  }

  #isDue(): boolean {
    return this.#rotateAtMs === undefined || this.#options.clock.now() >= this.#rotateAtMs;
  }

  /** Until the next attempt while there is a failure, otherwise until the rotation. */
  #waitMs(): number {
    const { clock, random } = this.#options;
    if (this.#failures > 0) {
      const maxMs = this.#current === undefined ? WARM_UP.maxMs : rotationRetryCapMs(this.#current);
      return backoffMs({ ...WARM_UP, maxMs: Math.max(maxMs, WARM_UP.initialMs) }, this.#failures + 1, random);
    }
    return (this.#rotateAtMs ?? clock.now()) - clock.now();
  }

  async #sleep(ms: number): Promise<void> {
    if (this.#signal.aborted) return;
    await this.#options.clock.sleep(Math.min(Math.max(ms, 0), LOOK_MS), this.#wake.signal).catch(() => undefined);
    this.#wake = new AbortController(); // only now, so that a nudge during a request is not lost
  }

  #request(): Promise<IssuedCertificate> {
    this.#issuing ??= this.#issueOnce().finally(() => {
      this.#issuing = undefined;
    });
    return this.#issuing;
  }

  async #issueOnce(): Promise<IssuedCertificate> {
    const { issue, onIssued } = this.#options;
    try {
      const issued = await issue(this.#signal);
      const before = this.#current;
      this.#current = issued;
      this.#failures = 0;
      this.#lastError = undefined;
      this.#failingSinceMs = undefined;
      for (const who of ["warm-up", "rotation"]) this.#told.forget(who);
      this.#schedule(issued);
      onIssued(issued, before);
      this.nudge();
      return issued;
    } catch (error) {
      this.#failures++;
      this.#lastError = error;
      this.#failingSinceMs ??= this.#options.clock.now();
      throw error;
    }
  }

  #schedule(issued: IssuedCertificate): void {
    const { ratio, jitter, random, log } = this.#options;
    const plan = { ...issued, ratio, jitter };
    this.#rotateAtMs = Math.max(rotationTime(plan, random), issued.createdAtMs + rotationFloorMs(issued));
    const skewMs = clockSkewMs(issued);
    if (skewMs !== 0) log.warn("our clock and the CA's disagree", { aheadSeconds: Math.round(skewMs / 1_000) });
  }

  #report(error: unknown): void {
    if (this.#signal.aborted) return;
    const { log, clock } = this.#options;
    const reason = describeError(error);
    const fields = { error: reason, attempt: this.#failures };
    const old = this.#current;
    if (old === undefined) {
      const isTold = error instanceof AgentError; // by the attempts, or as what failed to be signed
      log[this.#told.isNews("warm-up", reason) && !isTold ? "warn" : "debug"]("failed to warm certificate", fields);
      return;
    }
    const leftMs = old.notAfterMs - clock.now();
    const level = leftMs < (old.notAfterMs - old.createdAtMs) * ALARMING_SHARE ? "error" : "warn";
    const isNews = this.#told.isNews("rotation", `${level} ${reason}`);
    log[isNews ? level : "debug"]("failed to rotate certificate, the old one stays in use", {
      ...fields,
      secondsLeft: Math.round(leftMs / 1_000),
    });
  }
}
