export { Code, codeName, isStatus, StatusError, type StreamStatus, statusOf } from "./codes.ts";
export { type GrpcTls, secured } from "./credentials.ts";
export { type CallHeader, headersOf, sendableHeaders } from "./metadata.ts";
export {
  type FailureKind,
  failureKind,
  isCertificateRefused,
  isOtherName,
  isProxyFailure,
  isUnreachable,
  isUntrusted,
  plainReason,
  ToldReasons,
  unreachableHint,
} from "./reasons.ts";
