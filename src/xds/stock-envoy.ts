import type { Logger } from "../base/index.ts";
import { DISPENSABLE_FILTERS, type DispensableFilter } from "./dispensable-filters.ts";
import { leaveOut, type Omission } from "./leave-out.ts";
import { peekExtensions } from "./peer.ts";
import type { ResponseHook, StreamHook } from "./response-hooks.ts";
import { rewritten } from "./rewritten.ts";
import type { Variant } from "./variant.ts";

/** What becomes of filters that Envoy does not have: those without policy are left out, or all are passed on. */
export type StockEnvoyMode = "adapt" | "refuse";

/** A filter that Envoy's configuration was sent without. */
export interface LeftOut extends Omission {
  /** What is missing without it. */
  readonly lost: string;
}

const PREFIX = "type.googleapis.com/envoy.config.";
const TYPES_WITH_FILTERS: ReadonlySet<string> = new Set([
  `${PREFIX}cluster.v3.Cluster`,
  `${PREFIX}listener.v3.Listener`,
  `${PREFIX}core.v3.TypedExtensionConfig`,
]);

/**
 * Fits the configuration of a real istiod to an Envoy without Istio's extensions, such as upstream's. What an Envoy has
 * is what it lists in the first request of a stream.
 */
export class StockEnvoy implements ResponseHook {
  readonly #mode: StockEnvoyMode;
  readonly #log: Logger;
  /** By filter and type: one line for each, however many clusters have it. */
  readonly #leftOut = new Map<string, LeftOut>();
  /** With `refuse`: what was passed on to an Envoy that does not have it. */
  readonly #passedOn = new Set<DispensableFilter>();

  constructor(mode: StockEnvoyMode, log: Logger) {
    this.#mode = mode;
    this.#log = log;
  }

  /** The filters that were left out, in the order of their first appearance. */
  get leftOut(): readonly LeftOut[] {
    return [...this.#leftOut.values()];
  }

  forStream(variant: Variant, firstRequest: Uint8Array): StreamHook | undefined {
    const { types, names } = peekExtensions(variant, firstRequest);
    if (types.size === 0 && names.size === 0) return undefined; // an Envoy that does not tell: nothing is taken from it
    const missing = DISPENSABLE_FILTERS.filter(({ type, name }) => !types.has(type) && !names.has(name));
    if (missing.length === 0) return undefined;
    const needles = missing.map((filter) => ({ filter, bytes: Buffer.from(filter.type) }));
    return {
      handles: (typeUrl) => TYPES_WITH_FILTERS.has(typeUrl),
      rewrite: (message) => {
        const found = needles.filter(({ bytes }) => message.includes(bytes)).map(({ filter }) => filter);
        if (found.length === 0) return message;
        if (this.#mode === "adapt") return this.#adapt(variant, message, found);
        for (const filter of found) this.#passedOn.add(filter);
        return message;
      },
    };
  }

  #adapt(variant: Variant, message: Buffer, missing: readonly DispensableFilter[]): Buffer {
    const unwanted = new Map(missing.map((filter) => [filter.type, filter]));
    const onOmission = (omission: Omission): void => this.#note(omission, unwanted.get(omission.type)?.lost ?? "");
    return rewritten(message, this.#log, (bytes) => leaveOut(bytes, { variant, unwanted, onOmission }));
  }

  #note(omission: Omission, lost: string): void {
    const { filter, type, place } = omission;
    const key = `${filter} ${type}`;
    if (this.#leftOut.has(key)) return;
    this.#leftOut.set(key, { ...omission, lost });
    this.#log.warn(`This Envoy does not have ${named(filter, type)}: it is left out`, { lost, first: place });
  }

  /** What a person can do about a refusal by Envoy; undefined where it is not about an extension that Envoy lacks. */
  remedyFor(refusal: string): string | undefined {
    const [, name = "", type = ""] = NOT_REGISTERED.exec(refusal) ?? [];
    if (type === "") return undefined;
    const passedOn = [...this.#passedOn];
    if (!DISPENSABLE_FILTERS.some((filter) => filter.type === type)) {
      return `this Envoy does not have ${named(name, type)}, which may carry policy and is never left out: ${TAKE_ISTIOS}`;
    }
    if (!passedOn.some((filter) => filter.type === type)) return undefined;
    const list = passedOn.map((filter) => named(filter.name, filter.type)).join(", ");
    const lost = passedOn.map((filter) => filter.lost).join("; ");
    return `this Envoy does not have ${list}: start with --stock-envoy adapt, which leaves them out (lost: ${lost}), or ${TAKE_ISTIOS}`;
  }
}

/** Envoy's words for a type that it does not know. Source: envoy source/common/config/utility.h. */
const NOT_REGISTERED = /Didn't find a registered implementation for '([^']*)' with type URL: '([^']*)'/;
const TAKE_ISTIOS = "take Istio's Envoy (--envoy PATH; it is /usr/local/bin/envoy in the image istio/proxyv2)";

function named(filter: string, type: string): string {
  return `"${filter}" (${type})`;
}
