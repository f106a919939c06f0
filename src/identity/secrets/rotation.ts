/** When a certificate is to be replaced. All times in milliseconds since the epoch. */
export interface RotationPlan {
  readonly createdAtMs: number;
  readonly notBeforeMs?: number;
  readonly notAfterMs: number;
  /** Share of the lifetime that is left when rotation starts (`SECRET_GRACE_PERIOD_RATIO`). */
  readonly ratio: number;
  /** Largest random change of that share, up or down (`SECRET_GRACE_PERIOD_RATIO_JITTER`). */
  readonly jitter: number;
}

const LARGEST_SKEW_MS = 5 * 60_000;
const FLOOR_MS = 30_000;

/**
 * The time at which to rotate. `random` is asked twice: for the direction of the jitter, then for its size. When our
 * clock and the CA's disagree by minutes, the certificate's own lifetime, counted from now, may end sooner.
 * Source: istio/istio security/pkg/nodeagent/cache/secretcache.go (rotateTime).
 */
export function rotationTime(plan: RotationPlan, random: () => number): number {
  const sign = random() < 0.5 ? -1 : 1;
  const share = Math.min(1, Math.max(0, plan.ratio + sign * random() * plan.jitter));
  const byOurClock = plan.notAfterMs - share * (plan.notAfterMs - plan.createdAtMs);
  if (clockSkewMs(plan) === 0) return byOurClock;
  const lifetimeMs = plan.notAfterMs - (plan.notBeforeMs ?? plan.createdAtMs);
  return Math.min(byOurClock, plan.createdAtMs + (1 - share) * lifetimeMs);
}

/** How far our clock is ahead of the certificate's start when that is more than a few minutes; 0 otherwise. */
export function clockSkewMs(plan: Pick<RotationPlan, "createdAtMs" | "notBeforeMs">): number {
  const skewMs = plan.createdAtMs - (plan.notBeforeMs ?? plan.createdAtMs);
  return Math.abs(skewMs) > LARGEST_SKEW_MS ? skewMs : 0;
}

/** Least time between two requests to the CA: 30 s, or a tenth of a short lifetime. */
export function rotationFloorMs(plan: Pick<RotationPlan, "createdAtMs" | "notAfterMs">): number {
  return Math.min(FLOOR_MS, Math.max(0, plan.notAfterMs - plan.createdAtMs) / 10);
}

/** Longest wait between two attempts to rotate: a minute, or a twentieth of a short lifetime. */
export function rotationRetryCapMs(plan: Pick<RotationPlan, "createdAtMs" | "notAfterMs">): number {
  return Math.min(60_000, Math.max(0, plan.notAfterMs - plan.createdAtMs) / 20);
}
