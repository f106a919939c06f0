import type { Clock, Logger, Metrics } from "../base/index.ts";
import type { ReadinessCheck } from "./readiness-board.ts";

/** Asks Envoy's admin API. Rejects when it cannot be reached or does not answer with 200 within `timeoutMs`. */
export type AdminGet = (path: string, timeoutMs: number) => Promise<string>;

export interface EnvoyReadinessOptions {
  readonly adminGet: AdminGet;
  /** Why Envoy may lack configuration, as the parts between it and the control plane know; undefined when they do not. */
  readonly because: () => string | undefined;
  readonly metrics: Metrics;
  readonly log: Logger;
  /** When the process began, in milliseconds since the epoch. */
  readonly startedMs: number;
  readonly clock?: Clock;
}

/** Ready once Envoy has its first clusters and listeners, is live, and its workers run. Remembered from then on. */
export function envoyReadiness(_options: EnvoyReadinessOptions): ReadinessCheck {
  return { name: "envoy", check: () => "not yet" };
}

/** Ready once the gRPC bootstrap at `path` can be read and the certificate files it names exist. */
export function grpcBootstrapReadiness(path: string): ReadinessCheck {
  return { name: "grpc bootstrap", check: () => path };
}

/** Ready once a first name table has been loaded. */
export function dnsReadiness(hasTable: () => boolean): ReadinessCheck {
  return {
    name: "dns",
    check: () => (hasTable() ? undefined : "istio DNS capture is turned ON and DNS lookup table is not ready yet"),
  };
}
