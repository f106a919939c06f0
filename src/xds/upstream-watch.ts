import type { Clock, Logger } from "../base/index.ts";
import { codeName, plainReason, type StreamStatus } from "./status.ts";
import type { Rejection, UpstreamFailure, UpstreamState } from "./types.ts";

export interface UpstreamWatchOptions {
  readonly address: string;
  readonly log: Logger;
  readonly clock: Clock;
}

/**
 * Remembers how the control plane and Envoy take each other, for readiness, and logs each change once: Envoy retries
 * for ever, and a line per retry would bury the reason.
 */
export class UpstreamWatch {
  readonly #address: string;
  readonly #log: Logger;
  readonly #clock: Clock;
  #state: UpstreamState = { kind: "idle" };
  #rejection: Rejection | undefined;
  #currentId = 0;
  /** Streams that live beside the current one, as of a hot restart, with how they stood; the newest last. */
  #others: { readonly id: number; readonly state: UpstreamState }[] = [];

  constructor({ address, log, clock }: UpstreamWatchOptions) {
    this.#address = address;
    this.#log = log;
    this.#clock = clock;
  }

  get state(): UpstreamState {
    return this.#state;
  }

  get rejection(): Rejection | undefined {
    return this.#rejection;
  }

  /** From here on the stream `id` counts, as long as it lives: what an earlier one still tells is old news. */
  connecting(id: number): void {
    if (this.#currentId !== 0) this.#others.push({ id: this.#currentId, state: this.#state });
    this.#currentId = id;
    this.#state = { kind: "connecting", sinceMs: this.#clock.now(), failure: failureOf(this.#state) };
  }

  connected(id: number, isDelta: boolean): void {
    if (id !== this.#currentId) return;
    const failure = failureOf(this.#state);
    this.#state = { kind: "connected", sinceMs: this.#clock.now(), failure };
    const message = `connected to ${isDelta ? "delta " : ""}upstream XDS server: ${this.#address}`;
    if (failure === undefined) this.#log.info(message, { id });
    else this.#log.debug(message, { id }); // it may refuse the stream again; the first response tells
  }

  responded(id: number): void {
    if (id !== this.#currentId) return;
    const nowMs = this.#clock.now();
    const failure = failureOf(this.#state);
    if (failure !== undefined) {
      this.#log.info(`upstream XDS server responds again: ${this.#address}`, {
        id,
        failedAttempts: failure.attempts,
        lastReason: failure.reason,
      });
    }
    const sinceMs = "sinceMs" in this.#state ? this.#state.sinceMs : nowMs;
    this.#state = { kind: "responding", sinceMs, lastResponseMs: nowMs };
  }

  failed(id: number, status: StreamStatus): void {
    if (id !== this.#currentId) {
      this.#forget(id);
      return;
    }
    const nowMs = this.#clock.now();
    const last = failureOf(this.#state);
    const failure: UpstreamFailure = {
      reason: plainReason(status.details),
      code: codeName(status.code),
      attempts: (last?.attempts ?? 0) + 1,
      sinceMs: last?.sinceMs ?? nowMs,
      lastMs: nowMs,
    };
    this.#state = { kind: "failed", failure };
    const isNews = last?.reason !== failure.reason || last.code !== failure.code;
    const { code, reason, attempts } = failure;
    this.#log[isNews ? "warn" : "debug"]("upstream terminated with unexpected error", {
      id,
      address: this.#address,
      code,
      reason,
      attempts,
    });
    this.#backToOther();
  }

  /** The stream ended as streams do. */
  ended(id: number): void {
    if (id !== this.#currentId) {
      this.#forget(id);
      return;
    }
    const failure = failureOf(this.#state);
    this.#state = failure === undefined ? { kind: "idle" } : { kind: "failed", failure };
    this.#backToOther();
  }

  #forget(id: number): void {
    this.#others = this.#others.filter((other) => other.id !== id);
  }

  /** The current stream is over: an Envoy that serves on has one that goes on. */
  #backToOther(): void {
    const other = this.#others.pop();
    this.#currentId = other?.id ?? 0;
    if (other !== undefined) this.#state = other.state;
  }

  rejected(id: number, rejection: Omit<Rejection, "atMs">): void {
    const { typeUrl, message } = rejection;
    const isNews = this.#rejection?.typeUrl !== typeUrl || this.#rejection.message !== message;
    this.#rejection = { ...rejection, atMs: this.#clock.now() };
    this.#log[isNews ? "warn" : "debug"]("Envoy rejected configuration", { id, ...rejection });
  }

  accepted(typeUrl: string): void {
    if (this.#rejection?.typeUrl === typeUrl) this.#rejection = undefined;
  }

  describeTrouble(): string | undefined {
    const failure = failureOf(this.#state);
    if (failure !== undefined) return this.#describeFailure(failure);
    if (this.#rejection !== undefined) return `Envoy rejected ${this.#rejection.typeUrl}: ${this.#rejection.message}`;
    if (this.#state.kind === "idle") return "Envoy has no stream to the agent's xDS relay";
    if (this.#state.kind === "responding" || this.#state.kind === "failed") return undefined;
    const seconds = Math.round((this.#clock.now() - this.#state.sinceMs) / 1_000);
    if (this.#state.kind === "connecting") return `connecting to control plane "${this.#address}" for ${seconds}s`;
    return `control plane "${this.#address}" is connected, but has not responded for ${seconds}s`;
  }

  #describeFailure({ reason, code, attempts, sinceMs, lastMs }: UpstreamFailure): string {
    const nowMs = this.#clock.now();
    const ages = `${Math.round((nowMs - sinceMs) / 1_000)}s, last ${Math.round((nowMs - lastMs) / 1_000)}s ago`;
    return `control plane "${this.#address}": ${code}: ${reason} (${attempts} failed attempts in ${ages})`;
  }
}

function failureOf(state: UpstreamState): UpstreamFailure | undefined {
  return "failure" in state ? state.failure : undefined;
}
