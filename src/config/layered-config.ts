import { DEFAULT_PROXY_CONFIG, fillZeros, PROXY_CONFIG, type ProxyConfig } from "../istio/mesh/index.ts";
import { mergeProxyConfig } from "./merge.ts";
import type { Overlay } from "./overlay.ts";
import { DEFAULT_ORIGIN, type Origin } from "./problem.ts";

/** One source that set a field of the ProxyConfig, and to what. */
export interface FieldLayer {
  readonly field: string;
  readonly origin: Origin;
  readonly value: unknown;
}

/** A ProxyConfig on the way to its effective value, which remembers who set what. */
export class LayeredConfig {
  proxy: ProxyConfig = DEFAULT_PROXY_CONFIG;
  /** In the order in which they were laid over each other. */
  readonly layers: FieldLayer[] = [];
  readonly #lastDocument = new Map<string, Overlay>();

  lay(overlay: Overlay): void {
    this.proxy = mergeProxyConfig(this.proxy, overlay.present);
    for (const [field, value] of Object.entries(overlay.present)) {
      this.layers.push({ field, origin: overlay.origin([field]), value });
      this.#lastDocument.set(field, overlay);
    }
  }

  set(field: keyof ProxyConfig, value: unknown, source: string): void {
    this.proxy = fillZeros(PROXY_CONFIG, { ...this.proxy, [field]: value });
    this.layers.push({ field, origin: { source }, value });
  }

  /** Where the field's effective value comes from. */
  origin(field: string): Origin {
    return this.layers.findLast((layer) => layer.field === field)?.origin ?? DEFAULT_ORIGIN;
  }

  /** The same for something inside a field, as exactly as the document knows. */
  async locate(path: readonly string[]): Promise<Origin> {
    const [field = ""] = path;
    const document = this.#lastDocument.get(field);
    const origin = this.origin(field);
    return document === undefined || document.source !== origin.source ? origin : document.locate(path);
  }

  origins(): Map<string, Origin> {
    return new Map(this.layers.map(({ field, origin }) => [field, origin]));
  }
}
