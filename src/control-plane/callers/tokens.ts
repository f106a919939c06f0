import { createPrivateKey, createPublicKey, generateKeyPairSync } from "node:crypto";
import { jwtVerify, SignJWT } from "jose";
import { describeError, Secret } from "../../base/index.ts";

/** The workload that a token speaks for. */
export interface Workload {
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** Mints and checks tokens with one key, and accepts no others. */
export interface TokenIssuer {
  mint(workload: Workload, ttlMs: number): Promise<Secret>;
  /** The workload of a token, or the reason why it is refused. */
  check(token: string): Promise<Workload | string>;
}

export interface TokenSettings {
  /** Default `pilotboat-control-plane`. */
  readonly issuer?: string;
  /** Default `istio-ca`. Source: istio/istio pkg/security (TOKEN_AUDIENCES). */
  readonly audience?: string;
}

const ALGORITHM = "ES256";

/** A new key to sign tokens with, PKCS#8 in PEM. */
export function createTokenKey(): Secret {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return new Secret(privateKey.export({ type: "pkcs8", format: "pem" }));
}

/** Throws when `key` is no EC key in PEM. */
export function createTokenIssuer(key: Secret, settings: TokenSettings = {}): TokenIssuer {
  const { issuer = "pilotboat-control-plane", audience = "istio-ca" } = settings;
  const privateKey = createPrivateKey(key.reveal());
  const publicKey = createPublicKey(privateKey);
  return {
    async mint({ namespace, serviceAccount }, ttlMs) {
      const nowSeconds = Math.floor(Date.now() / 1_000);
      const token = await new SignJWT()
        .setProtectedHeader({ alg: ALGORITHM })
        .setIssuer(issuer)
        .setAudience([audience])
        .setSubject(`${ACCOUNT}${namespace}:${serviceAccount}`)
        .setIssuedAt(nowSeconds)
        .setExpirationTime(nowSeconds + Math.ceil(ttlMs / 1_000))
        .sign(privateKey);
      return new Secret(token);
    },
    async check(token) {
      try {
        const options = { issuer, audience, algorithms: [ALGORITHM], requiredClaims: ["exp"] };
        const { payload } = await jwtVerify(token, publicKey, options);
        if (!Array.isArray(payload.aud)) return "its audience is not a list";
        return workloadOf(payload.sub ?? "") ?? `its subject "${payload.sub}" is no service account`;
      } catch (error) {
        return describeError(error);
      }
    },
  };
}

const ACCOUNT = "system:serviceaccount:";

function workloadOf(subject: string): Workload | undefined {
  const [namespace, serviceAccount, ...more] = subject.slice(ACCOUNT.length).split(":");
  const isAccount = subject.startsWith(ACCOUNT) && more.length === 0;
  if (!isAccount || !namespace || !serviceAccount) return undefined;
  return { namespace, serviceAccount };
}
