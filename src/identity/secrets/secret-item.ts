import type { Secret } from "../../base/index.ts";

/** What is served under a name; the bytes are PEM. */
export type SecretItem =
  | {
      readonly kind: "certificate";
      readonly name: string;
      readonly certChain: Buffer;
      readonly key: Secret;
      readonly notAfterMs: number;
    }
  | {
      readonly kind: "roots";
      readonly name: string;
      readonly roots: Buffer;
      /** Certificate revocation lists. */
      readonly crl?: Buffer;
    };

/** True when both would be the same bytes for Envoy. */
export function isSameItem(a: SecretItem, b: SecretItem): boolean {
  if (a.kind === "roots")
    return b.kind === "roots" && a.roots.equals(b.roots) && (a.crl?.toString() ?? "") === (b.crl?.toString() ?? "");
  return b.kind === "certificate" && a.certChain.equals(b.certChain) && a.key.equals(b.key);
}
