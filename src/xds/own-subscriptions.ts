import { describeError, type Logger } from "../base/index.ts";
import type { Announcements } from "./announcements.ts";
import { encodeRequest, firstResource, type RequestDraft, type ResponseFacts } from "./peek.ts";
import type { Intercept } from "./types.ts";
import type { Variant } from "./variant.ts";

export interface OwnSubscriptionsOptions {
  /** Number of the stream in the log. */
  readonly id: number;
  readonly variant: Variant;
  readonly intercept: ReadonlyMap<string, Intercept>;
  readonly announcements: Announcements;
  /** Sends a request to the control plane. */
  readonly send: (message: Buffer) => void;
  readonly log: Logger;
}

/** What the agent itself asks for on a stream, one subscription for each handler, acknowledged or rejected by it; and what it announces. */
export class OwnSubscriptions {
  readonly #options: OwnSubscriptionsOptions;
  #hasSubscribed = false;
  #stopFollowing = (): void => undefined;
  /** Versions that handlers accepted, by type: what a rejection reports as still in use. */
  readonly #accepted = new Map<string, string>();

  constructor(options: OwnSubscriptionsOptions) {
    this.#options = options;
  }

  subscribeOnce(): void {
    if (this.#hasSubscribed) return;
    this.#hasSubscribed = true;
    for (const typeUrl of this.#options.intercept.keys()) this.#send({ typeUrl });
    this.#stopFollowing = this.#options.announcements.follow((announcement) => this.#send(announcement));
  }

  /** The stream has ended. */
  close(): void {
    this.#stopFollowing();
  }

  /** Takes a response of a type that has a handler. Never rejects. */
  async take({ typeUrl, nonce, versionInfo }: ResponseFacts, message: Buffer): Promise<void> {
    const { intercept, variant, log, id } = this.#options;
    try {
      const resource = firstResource(variant, message);
      if (resource !== undefined) {
        if (resource.typeUrl !== typeUrl)
          throw new Error(`resource is of type "${resource.typeUrl}", not "${typeUrl}"`);
        await intercept.get(typeUrl)?.(resource.value);
      }
      this.#accepted.set(typeUrl, versionInfo);
      this.#send({ typeUrl, nonce, versionInfo });
    } catch (error) {
      const rejection = describeError(error);
      log.warn("agent rejected a response", { id, typeUrl, nonce, rejection });
      this.#send({ typeUrl, nonce, versionInfo: this.#accepted.get(typeUrl) ?? "", rejection });
    }
  }

  #send(draft: RequestDraft): void {
    this.#options.send(Buffer.from(encodeRequest(this.#options.variant, draft)));
  }
}
