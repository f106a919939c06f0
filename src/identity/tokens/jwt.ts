/** The claims that tell how long a token is good for; seconds since the epoch. */
export interface JwtTimes {
  readonly expiresAtSeconds: number;
  readonly issuedAtSeconds: number | undefined;
}

/**
 * Reads the times of a JWT without checking its signature, which is the CA's business. Undefined when the text is not
 * a JWT or has no numeric `exp`. Shape: RFC 7519 section 3.
 */
export function readJwtTimes(token: string): JwtTimes | undefined {
  const segments = token.split(".");
  if (segments.length !== 3) return undefined;
  const claims = parseObject(Buffer.from(segments[1] ?? "", "base64url").toString("utf8"));
  if (typeof claims?.exp !== "number") return undefined;
  return { expiresAtSeconds: claims.exp, issuedAtSeconds: typeof claims.iat === "number" ? claims.iat : undefined };
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? { ...value } : undefined;
  } catch {
    return undefined; // not JSON, hence not a JWT: the caller treats the token as opaque
  }
}
