import type { Clock, Logger } from "../base/index.ts";
import {
  codeName,
  failureKind,
  isUnreachable,
  isUntrusted,
  plainReason,
  type StreamStatus,
  ToldReasons,
  unreachableHint,
} from "../grpc/index.ts";
import { isAway } from "./is-away.ts";
import { TypeStates } from "./type-states.ts";
import {
  LISTENER_TYPE,
  PEER_NAMES,
  type Peer,
  type Rejection,
  type Trouble,
  type UpstreamFailure,
  type UpstreamState,
} from "./types.ts";

export interface UpstreamWatchOptions {
  /** Whose streams are watched. */
  readonly peer: Peer;
  readonly address: string;
  readonly log: Logger;
  readonly clock: Clock;
  /** What others tell of the same control plane, when it cannot be reached. Default: nothing. */
  readonly told?: ToldReasons;
  /** Called for each resource type, when it is first asked for. */
  readonly onType?: (typeUrl: string) => void;
  /** A hint for a refusal, by its words; default: none. */
  readonly remedyFor?: (refusal: string) => string | undefined;
}

/**
 * Remembers how the control plane and Envoy (or gRPC clients) take each other, for readiness, and logs each change once: Envoy retries
 * for ever, and a line per retry would bury the reason.
 */
export class UpstreamWatch {
  readonly #peer: Peer;
  readonly #address: string;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #told: ToldReasons;
  /** What the peer has of each type. */
  readonly types: TypeStates;
  /** How each live stream stands, by id; the newest last. */
  readonly #streams = new Map<number, UpstreamState>();
  /** What holds while no stream lives. */
  #rest: UpstreamState = { kind: "idle" };
  /** The latest failure, until a response arrives on whichever stream. */
  #failure: UpstreamFailure | undefined;
  readonly #remedyFor: (refusal: string) => string | undefined;
  /** By type, the first refused first: what comes later may be a consequence. */
  readonly #rejections = new Map<string, Rejection & { readonly id: number }>();

  constructor(options: UpstreamWatchOptions) {
    const { peer, address, log, clock, told = new ToldReasons(), remedyFor = () => undefined } = options;
    this.#remedyFor = remedyFor;
    this.#peer = peer;
    this.#address = address;
    this.#log = log;
    this.#clock = clock;
    this.#told = told;
    this.types = new TypeStates(() => clock.now(), options.onType);
  }

  /** Of the newest stream that lives: what an earlier one has to tell is old news as long as there is another. */
  get state(): UpstreamState {
    return [...this.#streams.values()].at(-1) ?? this.#rest;
  }

  get rejection(): Rejection | undefined {
    return this.#rejections.values().next().value;
  }

  connecting(id: number): void {
    this.#streams.set(id, { kind: "connecting", sinceMs: this.#clock.now(), failure: this.#failure });
  }

  connected(id: number, isDelta: boolean): void {
    if (!this.#streams.has(id)) return; // over meanwhile
    this.#streams.set(id, { kind: "connected", sinceMs: this.#clock.now(), isDelta, failure: this.#failure });
  }

  responded(id: number): void {
    const state = this.#streams.get(id);
    if (state === undefined) return;
    const nowMs = this.#clock.now();
    this.#told.forget(this.#peer);
    if (state.kind === "connected" && this.#failure === undefined) {
      // told with the first response, because until then the stream may still be refused
      this.#log.info(`connected to ${state.isDelta ? "delta " : ""}upstream XDS server: ${this.#address}`, { id });
    }
    if (this.#failure !== undefined) {
      this.#log.info(`upstream XDS server responds again: ${this.#address}`, {
        id,
        failedAttempts: this.#failure.attempts,
        lastReason: this.#failure.reason,
      });
    }
    this.#failure = undefined;
    const sinceMs = "sinceMs" in state ? state.sinceMs : nowMs;
    this.#streams.set(id, { kind: "responding", sinceMs, lastResponseMs: nowMs });
  }

  /** `explanation`: what is known of it beside the control plane's own words. */
  failed(id: number, status: StreamStatus, explanation?: string): void {
    const nowMs = this.#clock.now();
    const last = this.#failure;
    const failure: UpstreamFailure = {
      reason: reasonOf(status, explanation),
      code: codeName(status.code),
      isAway: isAway(status),
      attempts: (last?.attempts ?? 0) + 1,
      sinceMs: last?.sinceMs ?? nowMs,
      lastMs: nowMs,
    };
    this.#failure = failure;
    this.#over(id, { kind: "failed", failure });
    const { code, reason, attempts } = failure;
    const isAddressDead = isUnreachable(reason);
    const isChanged = last?.reason !== reason || last.code !== code;
    const isMetByAll = isAddressDead || isUntrusted(reason);
    const isNews = isMetByAll ? this.#told.isNews(this.#peer, reason) : isChanged;
    if (!isMetByAll) this.#told.forget(this.#peer);
    const hint = unreachableHint(reason);
    this.#log[isNews ? "warn" : "debug"]("upstream terminated with unexpected error", {
      id,
      address: this.#address,
      code,
      reason,
      attempts,
      ...(hint === undefined ? {} : { hint }),
    });
  }

  /** The stream ended as streams do. */
  ended(id: number): void {
    this.#over(id, this.#failure === undefined ? { kind: "idle" } : { kind: "failed", failure: this.#failure });
  }

  #over(id: number, rest: UpstreamState): void {
    this.#streams.delete(id);
    this.#rest = rest;
    // an Envoy goes on with what it has; a client that is gone has no more of what it refused
    if (this.#peer === "envoy") return;
    for (const [typeUrl, rejection] of this.#rejections) if (rejection.id === id) this.#rejections.delete(typeUrl);
  }

  rejected(id: number, rejection: Omit<Rejection, "atMs">): void {
    const { typeUrl, message } = rejection;
    const isNews = this.#rejections.get(typeUrl)?.message !== message;
    this.#rejections.set(typeUrl, { ...rejection, id, atMs: this.#clock.now() });
    const remedy = this.#remedyFor(message);
    this.#log[isNews ? "warn" : "debug"](`${PEER_NAMES[this.#peer]} rejected configuration`, {
      id,
      ...rejection,
      ...(remedy === undefined ? {} : { remedy }),
    });
  }

  /** What one client takes says nothing of another that has refused it and lives. */
  accepted(id: number, typeUrl: string): void {
    const refused = this.#rejections.get(typeUrl);
    if (refused === undefined) return;
    if (refused.id === id || !this.#streams.has(refused.id)) this.#rejections.delete(typeUrl);
  }

  /** In one line, without the address. */
  describeState(): string {
    const trouble = this.trouble()?.text ?? this.state.kind;
    const hint = unreachableHint(failureOf(this.state)?.reason ?? "");
    return `${trouble}${hint === undefined ? "" : `; ${hint}`}`
      .replace(`control plane "${this.#address}": `, "")
      .replace(` to control plane "${this.#address}"`, "")
      .replace(`control plane "${this.#address}" is `, "");
  }

  trouble(): Trouble | undefined {
    const { state } = this;
    const failure = failureOf(state);
    if (failure !== undefined) return this.#failureTrouble(failure);
    const refusal = this.refusal();
    if (refusal !== undefined) return refusal;
    const kind = "control-plane";
    if (state.kind === "idle") return this.#peer === "envoy" ? { kind, text: NO_STREAM } : undefined; // clients come when they like
    if (state.kind === "responding" || state.kind === "failed") return undefined;
    const { sinceMs } = state;
    const seconds = Math.round((this.#clock.now() - sinceMs) / 1_000);
    if (state.kind === "connecting") {
      return { kind: "connect", text: `connecting to control plane "${this.#address}" for ${seconds}s`, sinceMs };
    }
    const text = `control plane "${this.#address}" is connected, but has not responded for ${seconds}s`;
    return { kind, text, sinceMs };
  }

  /** Why the control plane does not let this proxy in, or is not trusted; undefined where it cannot be reached, or all is well. */
  denial(): Trouble | undefined {
    const failure = failureOf(this.state);
    if (failure === undefined) return undefined;
    const isDenial = failure.code === "UNAUTHENTICATED" || failure.code === "PERMISSION_DENIED";
    return isDenial || isUntrusted(failure.reason) ? this.#failureTrouble(failure) : undefined;
  }

  /** What was refused first and still is, with what can be done about it. */
  refusal(): Trouble | undefined {
    const { rejection } = this;
    if (rejection === undefined) return undefined;
    const { typeUrl, message, atMs } = rejection;
    const remedy = this.#remedyFor(message);
    const text = remedy === undefined ? message : `${remedy}; in Envoy's words: ${shortened(message)}`;
    const kind = typeUrl === LISTENER_TYPE && message.includes("cannot bind") ? "listener" : "nack";
    return { kind, text: `${PEER_NAMES[this.#peer]} rejected ${typeUrl}: ${text}`, sinceMs: atMs };
  }

  #failureTrouble({ reason, code, attempts, sinceMs, lastMs }: UpstreamFailure): Trouble {
    const nowMs = this.#clock.now();
    const ages = `${Math.round((nowMs - sinceMs) / 1_000)}s, last ${Math.round((nowMs - lastMs) / 1_000)}s ago`;
    return {
      kind: failureKind(`${code}: ${reason}`) ?? "control-plane",
      text: `control plane "${this.#address}": ${code}: ${reason} (${attempts} failed attempts in ${ages})`,
      sinceMs,
    };
  }
}

function reasonOf({ details }: StreamStatus, explanation: string | undefined): string {
  const reason = plainReason(details);
  return explanation === undefined ? reason : `${reason}; ${explanation}`;
}

const NO_STREAM = "Envoy has no stream to the agent's xDS relay";

/** One refusal names every cluster; the whole of it is in the log. */
function shortened(text: string): string {
  return text.length <= MOST_WORDS ? text : `${text.slice(0, MOST_WORDS)}…`;
}

const MOST_WORDS = 200;

function failureOf(state: UpstreamState): UpstreamFailure | undefined {
  return "failure" in state ? state.failure : undefined;
}
