import { decodeJwt } from "jose/jwt/decode";

/** The claims that tell how long a token is good for; seconds since the epoch. */
export interface JwtTimes {
  readonly expiresAtSeconds: number;
  readonly issuedAtSeconds: number | undefined;
}

/**
 * Reads the times of a JWT without checking its signature, which is the CA's business. Undefined when the text is not
 * a JWT (the token is then opaque) or has no numeric `exp`. Loads jose, so it is itself to be loaded late.
 */
export function readJwtTimes(token: string): JwtTimes | undefined {
  const { exp, iat } = claimsOf(token);
  if (typeof exp !== "number") return undefined;
  return { expiresAtSeconds: exp, issuedAtSeconds: typeof iat === "number" ? iat : undefined };
}

function claimsOf(token: string): { readonly exp?: unknown; readonly iat?: unknown } {
  try {
    return decodeJwt(token);
  } catch {
    return {};
  }
}
