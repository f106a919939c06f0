import { rewriteFields } from "../proto/wire.ts";
import { encodeRequest, type RequestFacts } from "./peek.ts";
import type { Variant } from "./variant.ts";

/** Requests by which the agent rejects a response in Envoy's place. */
export class Rejections {
  readonly #variant: Variant;
  /** Whole states: Envoy's latest request for each type, whose names a rejection has to repeat. */
  readonly #latest = new Map<string, { readonly versionInfo: string; readonly message: Uint8Array }>();

  constructor(variant: Variant) {
    this.#variant = variant;
  }

  noteRequest({ typeUrl, versionInfo }: RequestFacts, message: Uint8Array): void {
    if (this.#variant.name === "sotw") this.#latest.set(typeUrl, { versionInfo, message });
  }

  /** `versionInfo` is what Envoy goes on with; empty in delta streams. */
  encode(
    typeUrl: string,
    nonce: string,
    rejection: string,
  ): { readonly message: Buffer; readonly versionInfo: string } {
    const { request } = this.#variant;
    const { versionInfo = "", message } = this.#latest.get(typeUrl) ?? {};
    if (message === undefined) {
      return { message: Buffer.from(encodeRequest(this.#variant, { typeUrl, nonce, rejection })), versionInfo };
    }
    const kept = rewriteFields(message, (field, value) =>
      field === request.nonce || field === request.errorDetail || field === request.node ? undefined : value,
    );
    const added = encodeRequest(this.#variant, { typeUrl: "", nonce, rejection });
    return { message: Buffer.concat([kept, added]), versionInfo };
  }
}
