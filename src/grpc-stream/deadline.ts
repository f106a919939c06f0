import { LONGEST_TIMER_MS } from "../base/index.ts";
import { Code, StatusError, type StreamStatus } from "../grpc/index.ts";

const UNIT_MS = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 1e-3, n: 1e-6 } as const;
const TIMEOUT = /^(\d{1,8})([HMSmun])$/;

/** As grpc-go words it. */
const EXCEEDED: StreamStatus = { code: Code.DEADLINE_EXCEEDED, details: "context deadline exceeded" };

/**
 * Milliseconds that a caller gives its call, from the header grpc-timeout: up to eight digits and a unit. Undefined for a
 * call without one. Throws INTERNAL for any other value, as grpc-go does. Source: grpc/grpc doc/PROTOCOL-HTTP2.md.
 */
export function timeoutMsOf(header: string | string[] | undefined): number | undefined {
  if (header === undefined) return undefined;
  const [, digits, unit] = TIMEOUT.exec(String(header)) ?? [];
  if (digits === undefined || unit === undefined)
    throw new StatusError(Code.INTERNAL, `malformed grpc-timeout: ${JSON.stringify(header)}`);
  return Number(digits) * UNIT_MS[unit as keyof typeof UNIT_MS];
}

/** Calls `end` with DEADLINE_EXCEEDED at the call's deadline, unless it is closed before. */
export function keepDeadline(timeoutMs: number, closed: Promise<void>, end: (status: StreamStatus) => void): void {
  if (timeoutMs > LONGEST_TIMER_MS) return; // 24 days: no connection lives as long
  const timer = setTimeout(() => end(EXCEEDED), Math.ceil(timeoutMs));
  void closed.then(() => clearTimeout(timer));
}
