import type { DiscoveryService } from "./ads/discovery-service.ts";

/** Things that go wrong with a real control plane, on demand. */
export interface Faults {
  /** Answers no request for that type until it is called with false, which sends what is owed. Default true. */
  withhold(typeUrl: string, isWithheld?: boolean): void;
  /** Sends an unreadable resource of that type; Envoy refuses it. */
  sendBroken(typeUrl: string): void;
  /** Certificates to come live that long, whatever is asked for; undefined ends it. */
  shortenCertificates(ttlMs: number | undefined): void;
}

export interface FaultBoard extends Faults {
  forcedTtlSeconds(): number | undefined;
}

export function createFaults(discovery: Pick<DiscoveryService, "withhold" | "sendBroken">): FaultBoard {
  let forcedMs: number | undefined;
  return {
    withhold: (typeUrl, isWithheld = true) => discovery.withhold(typeUrl, isWithheld),
    sendBroken: (typeUrl) => discovery.sendBroken(typeUrl),
    shortenCertificates(ttlMs) {
      forcedMs = ttlMs;
    },
    forcedTtlSeconds: () => (forcedMs === undefined ? undefined : forcedMs / 1_000),
  };
}
