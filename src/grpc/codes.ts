import { describeError } from "../base/index.ts";

/** gRPC's status codes. Source: grpc/grpc doc/statuscodes.md. */
export const Code = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;

const NAMES: ReadonlyMap<number, string> = new Map(Object.entries(Code).map(([name, code]) => [code, name]));

/** A gRPC status without trailing metadata. */
export interface StreamStatus {
  readonly code: number;
  readonly details: string;
}

/** The status's name as it stands in gRPC's documents, or its number when it has none. */
export function codeName(code: number): string {
  return NAMES.get(code) ?? String(code);
}

/** Whether what was thrown is the end of a gRPC stream. */
export function isStatus(error: unknown): error is Error & StreamStatus {
  return error instanceof Error && "code" in error && "details" in error;
}

/** What was thrown, as a status: its own, or INTERNAL. */
export function statusOf(error: unknown): StreamStatus {
  return isStatus(error) ? error : { code: Code.INTERNAL, details: describeError(error) };
}

/** A failure that has a status of its own. */
export class StatusError extends Error implements StreamStatus {
  readonly code: number;
  readonly details: string;

  constructor(code: number, details: string, cause?: unknown) {
    super(details, { cause });
    this.code = code;
    this.details = details;
  }
}
