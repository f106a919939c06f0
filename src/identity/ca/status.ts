/** Status names as Go prints them, by number. Source: grpc/grpc doc/statuscodes.md. */
const NAMES = [
  "OK",
  "Canceled",
  "Unknown",
  "InvalidArgument",
  "DeadlineExceeded",
  "NotFound",
  "AlreadyExists",
  "PermissionDenied",
  "ResourceExhausted",
  "FailedPrecondition",
  "Aborted",
  "OutOfRange",
  "Unimplemented",
  "Internal",
  "Unavailable",
  "DataLoss",
  "Unauthenticated",
] as const;

/** What passes by itself: the reference's list, and DEADLINE_EXCEEDED because our attempts do have a deadline. */
const RETRYABLE: ReadonlySet<string> = new Set([
  "DeadlineExceeded",
  "ResourceExhausted",
  "Aborted",
  "Internal",
  "Unavailable",
]);

export function statusName(status: number): string {
  return NAMES[status] ?? `Code(${status})`;
}

export function isRetryable(status: number): boolean {
  return RETRYABLE.has(statusName(status));
}
