import { utcTime } from "../../base/index.ts";
import type { JwtTimes, TokenClaims } from "./jwt.ts";

/**
 * What is known of the token as of now. `opaque` is a token without a readable expiry, `none` a fetcher that has not
 * been asked yet. `leftMs` is negative once expired.
 */
export type TokenState =
  | { readonly kind: "none" }
  | Missing
  | { readonly kind: "opaque" }
  | { readonly kind: "valid" | "expiring" | "expired"; readonly expiresAtMs: number; readonly leftMs: number };

interface Missing {
  readonly kind: "missing";
  readonly reason: string;
  /** Since when there is no token that can be read, for whichever reason. */
  readonly sinceMs: number;
}

/** What the last read of the token gave. */
export type TokenReading =
  | { readonly kind: "none" }
  | Missing
  | { readonly kind: "read"; readonly times: JwtTimes | undefined; readonly claims?: TokenClaims };

/** Kubelet replaces a token at 80 % of its life, so one with a tenth left should have been replaced long ago. */
const EXPIRING_SHARE = 0.1;
const EXPIRING_MS = 10 * 60_000;

export function tokenState(reading: TokenReading, nowMs: number): TokenState {
  if (reading.kind !== "read") return reading;
  if (reading.times === undefined) return { kind: "opaque" };
  const { expiresAtSeconds, issuedAtSeconds } = reading.times;
  const expiresAtMs = expiresAtSeconds * 1_000;
  const leftMs = expiresAtMs - nowMs;
  const lifeMs = issuedAtSeconds === undefined ? undefined : expiresAtMs - issuedAtSeconds * 1_000;
  const soonMs = lifeMs === undefined ? EXPIRING_MS : lifeMs * EXPIRING_SHARE;
  const kind = leftMs <= 0 ? "expired" : leftMs <= soonMs ? "expiring" : "valid";
  return { kind, expiresAtMs, leftMs };
}

/**
 * One sentence for a log line or a readiness report; undefined when nothing is wrong. It names the moment, not how long ago
 * that was: a reason that stays the same is logged once.
 */
export function describeTokenTrouble(state: TokenState): string | undefined {
  if (state.kind === "missing") return state.reason;
  if (state.kind === "expired") return `the token expired at ${utcTime(state.expiresAtMs)} and was not replaced`;
  if (state.kind === "expiring") return `the token expires at ${utcTime(state.expiresAtMs)} and was not replaced yet`;
  return undefined;
}
