import { createHash, type Hash } from "node:crypto";

/** The algorithms that the image specification registers, with the length of their hexadecimal form. */
const ALGORITHMS: Readonly<Record<string, number>> = { sha256: 64, sha512: 128 };

/** Whether a text is a digest that can be verified: `sha256:` or `sha512:` and lower-case hexadecimal. Source: OCI image-spec, descriptor.md, Digests. */
export function isDigest(text: string): boolean {
  const [algorithm = "", hex = "", ...more] = text.split(":");
  return more.length === 0 && hex.length === ALGORITHMS[algorithm] && /^[0-9a-f]+$/.test(hex);
}

/** The digest of bytes that are there. */
export function digestOf(bytes: Uint8Array, like = "sha256:"): string {
  const digesting = startDigest(like);
  digesting.update(bytes);
  return digesting.finish();
}

/** A digest of bytes that come a piece at a time. */
export interface Digesting {
  update(bytes: Uint8Array): void;
  /** In the form `algorithm:hex`. Once. */
  finish(): string;
}

/** `like` is a digest of the same algorithm. */
export function startDigest(like: string): Digesting {
  const algorithm = like.slice(0, like.indexOf(":"));
  const hash: Hash = createHash(algorithm);
  return {
    update: (bytes) => void hash.update(bytes),
    finish: () => `${algorithm}:${hash.digest("hex")}`,
  };
}
