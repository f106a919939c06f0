import type { RequestDraft } from "./peek.ts";

/** What the agent tells the control plane without asking for anything. */
export type Announcement = Pick<RequestDraft, "typeUrl" | "rejection">;

/**
 * The latest announcement of each type. A stream carries it from its first listener request on, because only then the
 * control plane knows the node, and each later one until it ends. Source: istio/istio pkg/istio-agent/xds_proxy.go.
 */
export class Announcements {
  readonly #latest = new Map<string, Announcement>();
  readonly #streams = new Set<(announcement: Announcement) => void>();

  announce(announcement: Announcement): void {
    this.#latest.set(announcement.typeUrl, announcement);
    for (const send of this.#streams) send(announcement);
  }

  /** Sends what is known, and then what comes. Gives the function that ends it. */
  follow(send: (announcement: Announcement) => void): () => void {
    for (const announcement of this.#latest.values()) send(announcement);
    this.#streams.add(send);
    return () => void this.#streams.delete(send);
  }
}
