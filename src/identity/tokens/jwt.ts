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

/** Whom a token is for and who gave it; not checked, which is the CA's business. Missing claims are empty. */
export interface TokenClaims {
  readonly audiences: readonly string[];
  readonly issuer: string;
  readonly subject: string;
  /** Undefined when it holds from the beginning. */
  readonly notBeforeMs: number | undefined;
}

/** Everything is missing from a text that is no JWT. Loads jose, as above. */
export function readClaims(token: string): TokenClaims {
  const { aud, iss, sub, nbf } = claimsOf(token);
  const audiences = Array.isArray(aud) ? aud : [aud];
  return {
    audiences: audiences.filter((one) => typeof one === "string").map(shortened),
    issuer: shortened(iss),
    subject: shortened(sub),
    notBeforeMs: typeof nbf === "number" ? nbf * 1_000 : undefined,
  };
}

/** No claim of a real token comes near it; it goes into a line of the log. */
const MOST_CHARACTERS = 200;

function shortened(text: unknown): string {
  return typeof text === "string" ? text.slice(0, MOST_CHARACTERS) : "";
}

function claimsOf(token: string): Readonly<Record<string, unknown>> {
  try {
    return decodeJwt(token);
  } catch {
    return {};
  }
}
