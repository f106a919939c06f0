import { generateKeyPair, jwtVerify, SignJWT } from "jose";
import { describeError, Secret } from "../base/index.ts";

/** The workload that a token speaks for. */
export interface Workload {
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** Mints and checks tokens with a key of its own; nobody else's are accepted. */
export interface TokenIssuer {
  mint(workload: Workload, ttlMs: number): Promise<Secret>;
  /** The workload of a token, or the reason why it is refused. */
  check(token: string): Promise<Workload | string>;
}

const ISSUER = "pilotboat-control-plane";
/** Source: istio/istio pkg/security (TOKEN_AUDIENCES). */
const AUDIENCE = "istio-ca";
const ALGORITHM = "ES256";

export async function createTokenIssuer(): Promise<TokenIssuer> {
  const { privateKey, publicKey } = await generateKeyPair(ALGORITHM);
  return {
    async mint({ namespace, serviceAccount }, ttlMs) {
      const nowSeconds = Math.floor(Date.now() / 1_000);
      const token = await new SignJWT()
        .setProtectedHeader({ alg: ALGORITHM })
        .setIssuer(ISSUER)
        .setAudience([AUDIENCE])
        .setSubject(`system:serviceaccount:${namespace}:${serviceAccount}`)
        .setIssuedAt(nowSeconds)
        .setExpirationTime(nowSeconds + Math.ceil(ttlMs / 1_000))
        .sign(privateKey);
      return new Secret(token);
    },
    async check(token) {
      try {
        const options = { issuer: ISSUER, audience: AUDIENCE, algorithms: [ALGORITHM] };
        const { payload } = await jwtVerify(token, publicKey, options);
        if (!Array.isArray(payload.aud)) return "its audience is no list";
        const [, , namespace, serviceAccount, ...more] = payload.sub?.split(":") ?? [];
        const isAccount = payload.sub?.startsWith("system:serviceaccount:") === true && more.length === 0;
        if (!isAccount || namespace === undefined || serviceAccount === undefined) {
          return "its subject is no service account";
        }
        return { namespace, serviceAccount };
      } catch (error) {
        return describeError(error);
      }
    },
  };
}
