import { encodeCertificate, parseCertificates } from "../../base/index.ts";

/**
 * Joins bundles into one: each certificate once, sorted, without comments, no newline at the end. Roots compare by
 * their bytes, so the same certificate wrapped differently collapses.
 */
export function mergeRoots(bundles: readonly (string | Uint8Array)[]): string {
  const blocks = bundles.flatMap((bundle) => parseCertificates(bundle).map((one) => encodeCertificate(one).trim()));
  return [...new Set(blocks)].sort().join("\n");
}
