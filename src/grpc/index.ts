export { Code, codeName, isStatus, StatusError, type StreamStatus, statusOf } from "./codes.ts";
export { type GrpcTls, secured } from "./credentials.ts";
export { type CallHeader, headersOf, sendableHeaders } from "./metadata.ts";
export {
  type FailureKind,
  failureKind,
  IS_IT_RUNNING,
  isCertificateRefused,
  isOtherName,
  isUnreachable,
  isUntrusted,
  plainReason,
  ToldReasons,
} from "./reasons.ts";
