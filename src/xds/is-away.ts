import { Code, isCertificateRefused, isUnreachable, type StreamStatus } from "../grpc/index.ts";

/**
 * Whether nobody answered. A refusal is an answer: of a stream, of our certificate (a TLS alert, which has the code
 * UNAVAILABLE), or by whoever should have given credentials.
 */
export function isAway({ code, details }: StreamStatus): boolean {
  if (code === Code.UNAVAILABLE) return !isCertificateRefused(details);
  const areCredentialsMissing = code === Code.UNAUTHENTICATED && details.startsWith("cannot get credentials: ");
  return areCredentialsMissing && (isUnreachable(details) || /\btimed out\b/.test(details));
}
