import type { Path } from "../proto/mesh/index.ts";

export const HIDDEN = "[hidden]";

const SECRET_WORD = /token|passw(or)?d|secret|key|credential/i;
const SECRET_HEADER = /auth|cookie|token|key|secret|password/i;

/** Whether the value of a variable or metadata entry of this name should not be shown. */
export function isSecretName(name: string): boolean {
  return SECRET_WORD.test(name) && !/_(FILE|PATH|DIR|SIZE)$/i.test(name);
}

/** Whether the value of this header should not be shown. */
export function isSecretHeader(name: string): boolean {
  return SECRET_HEADER.test(name);
}

/** Whether what stands at this place of a ProxyConfig should not be shown: access tokens, and metadata by name. */
export function isSecretPath(path: Path): boolean {
  const last = String(path.at(-1));
  return /^access_?token$/i.test(last) || (isMetadata(String(path.at(-2))) && isSecretName(last));
}

function isMetadata(name: string): boolean {
  return name === "proxyMetadata" || name === "proxy_metadata";
}
