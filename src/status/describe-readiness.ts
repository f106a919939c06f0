import type { CauseKind, Readiness } from "./readiness-board.ts";

/** Readiness for programs: `/healthz/ready` with `Accept: application/json`, and the report of the agent. Times are ISO 8601 in UTC. */
export interface ReadinessReport {
  readonly ready: boolean;
  /** Ready, or not, since then. */
  readonly since: string;
  /** Only while not ready: the time since then. */
  readonly waitedMs?: number;
  /** Only while not ready: the reference's phrase. */
  readonly reason?: string;
  /** Only while not ready: the phrase and all causes in one line, as the text form and the log have it. */
  readonly message?: string;
  /** The most telling first; empty when ready. */
  readonly causes: readonly ReportedCause[];
}

export interface ReportedCause {
  readonly kind: CauseKind;
  readonly text: string;
  /** Both absent where it is not known. */
  readonly since?: string;
  readonly waitedMs?: number;
}

export function describeReadiness(readiness: Readiness, nowMs: number): ReadinessReport {
  const since = isoTime(readiness.sinceMs);
  if (readiness.isReady) return { ready: true, since, causes: [] };
  const { phrase, reason, causes, sinceMs } = readiness;
  return {
    ready: false,
    since,
    waitedMs: elapsed(sinceMs, nowMs),
    reason: phrase,
    message: reason,
    causes: causes.map(({ kind, text, sinceMs: at }) => ({
      kind,
      text,
      ...(at === undefined ? {} : { since: isoTime(at), waitedMs: elapsed(at, nowMs) }),
    })),
  };
}

const isoTime = (ms: number): string => new Date(ms).toISOString();
const elapsed = (sinceMs: number, nowMs: number): number => Math.max(0, Math.round(nowMs - sinceMs));
