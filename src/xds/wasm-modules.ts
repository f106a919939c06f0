import type { Logger } from "../base/index.ts";
import { readFields } from "../proto/wire.ts";
import type { ResponseHook, StreamHook } from "./response-hooks.ts";
import { rewritten } from "./rewritten.ts";
import { TYPE_PREFIX } from "./types.ts";
import type { Variant } from "./variant.ts";
import { substituteWasm, type WasmSubstitute } from "./wasm-substitute.ts";

/** A Wasm filter that Envoy was sent a substitute for. */
export interface SubstitutedWasm extends WasmSubstitute {
  /** Name of the extension configuration; istiod makes it of the WasmPlugin's namespace and name. */
  readonly name: string;
  /** What follows for traffic. */
  readonly consequence: string;
}

const EXTENSION_TYPE = `${TYPE_PREFIX}envoy.config.core.v3.TypedExtensionConfig`;

/**
 * Stands in for remote Wasm modules, which this version does not fetch: Envoy gets what Istio's agent sends when it cannot
 * fetch them. Each is a warning when it comes or changes.
 */
export class WasmModules implements ResponseHook {
  readonly #log: Logger;
  readonly #substituted = new Map<string, SubstitutedWasm>();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** In the order in which they came. */
  get substituted(): readonly SubstitutedWasm[] {
    return [...this.#substituted.values()];
  }

  forStream(variant: Variant): StreamHook {
    return {
      handles: (typeUrl) => typeUrl === EXTENSION_TYPE,
      rewrite: (message) => this.#adapt(variant, message),
      noteRequest: (_, message) => this.#noteRequest(variant, message),
    };
  }

  #adapt(variant: Variant, message: Buffer): Buffer {
    return rewritten(message, this.#log, (bytes) =>
      substituteWasm(bytes, variant, (name, substitute) => this.#note(name, substitute)),
    );
  }

  #note(name: string, substitute: WasmSubstitute | undefined): void {
    const last = this.#substituted.get(name);
    if (substitute === undefined) {
      this.#substituted.delete(name);
      return;
    }
    const consequence = CONSEQUENCES[substitute.effect];
    this.#substituted.set(name, { name, ...substitute, consequence });
    if (last?.uri === substitute.uri && last.effect === substitute.effect) return;
    const { uri, effect } = substitute;
    this.#log.warn(`This version does not fetch Wasm modules: applying ${effect} RBAC filter`, {
      ...{ name, uri, consequence },
    });
  }

  /** Envoy no longer asks for an extension configuration once its listener is without the filter. Never throws. */
  #noteRequest({ name, request }: Variant, message: Uint8Array): void {
    if (this.#substituted.size === 0) return;
    const wanted = new Set<string>();
    readFields(message, (field, reader) => {
      if (field === request.unsubscribe) this.#substituted.delete(reader.string());
      else if (name === "sotw" && field === request.names) wanted.add(reader.string());
      else return false;
      return true;
    });
    if (name === "delta") return;
    for (const known of this.#substituted.keys()) if (!wanted.has(known)) this.#substituted.delete(known);
  }
}

const CONSEQUENCES: Readonly<Record<WasmSubstitute["effect"], string>> = {
  allow: "traffic passes without the module, as its policy FAIL_OPEN says",
  deny: "all traffic through the filter is refused (HTTP 403), as its policy FAIL_CLOSE says",
};
