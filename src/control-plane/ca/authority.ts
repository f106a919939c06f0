import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, X509Certificate } from "node:crypto";
import { AgentError, Secret } from "../../base/index.ts";
import {
  type AltName,
  altNames,
  authorityExtensions,
  nameOf,
  readIssuer,
  signCertificate,
  workloadExtensions,
} from "./certificate.ts";
import type { CaMaterial } from "./check-ca-files.ts";
import { readRequest } from "./read-request.ts";

/** A certificate authority. */
export interface Authority {
  readonly material: CaMaterial;
  /**
   * Signs a request for `identities` (SPIFFE URIs), whatever the request itself asks for: the leaf, what is between it
   * and the roots, and last the roots as one text. Throws CSR_INVALID.
   */
  sign(csrPem: string, identities: readonly string[], ttlSeconds: number): readonly string[];
  /** A certificate for a server of ours, with its key. */
  issueServer(names: readonly AltName[]): { readonly chain: string; readonly key: Secret };
}

const DAY_MS = 86_400_000;
const ROOT_MS = 3_650 * DAY_MS;
/** Clocks differ; istiod dates its certificates back by as much. Source: istio/istio security/pkg/pki/util. */
const BACKDATE_MS = 120_000;
/** A common name may have as many characters. Source: RFC 5280, ub-common-name. */
const LONGEST_COMMON_NAME = 64;

/** A fresh root; P-256, because a development mesh should start fast. */
export function createRoot(trustDomain: string): CaMaterial {
  const { key, publicKey } = newKeys();
  const name = nameOf({ organization: trustDomain });
  const extensions = authorityExtensions(publicKey);
  const now = Date.now();
  const fields = { issuer: name, subject: name, publicKey, extensions };
  const certificate = signCertificate({ ...fields, notBeforeMs: now - BACKDATE_MS, notAfterMs: now + ROOT_MS }, key);
  return { certificate, key: keyPem(key), chain: [], roots: certificate };
}

/** An authority that signs with `material`, whose key is RSA, P-256 or P-384. */
export function createAuthority(material: CaMaterial): Authority {
  const key = createPrivateKey(material.key.reveal());
  const { certificate } = material;
  const endMs = Date.parse(new X509Certificate(certificate).validTo);
  const issuer = readIssuer(certificate);
  const issue = (publicKey: Buffer, names: readonly AltName[], ttlMs: number, subject = nameOf()): string => {
    const now = Date.now();
    if (endMs <= now) throw new AgentError("INTERNAL", "CSR signing error (the signing certificate has expired)");
    const times = { notBeforeMs: now - BACKDATE_MS, notAfterMs: Math.min(now + ttlMs, endMs) };
    const extensions = [...workloadExtensions(issuer.keyId), altNames(names)];
    return signCertificate({ issuer: issuer.subject, subject, publicKey, extensions, ...times }, key);
  };
  return {
    material,
    sign(csrPem, identities, ttlSeconds) {
      const { publicKey, hasCommonName } = readRequest(csrPem);
      const [first = ""] = identities;
      const subject = hasCommonName && first.length <= LONGEST_COMMON_NAME ? nameOf({ commonName: first }) : nameOf();
      const names = identities.map((uri) => ({ uri }));
      return [issue(publicKey, names, ttlSeconds * 1_000, subject), ...material.chain, material.roots];
    },
    issueServer(names) {
      const own = newKeys();
      const leaf = issue(own.publicKey, names, ROOT_MS);
      return { chain: [leaf, ...material.chain].join(""), key: keyPem(own.key) };
    },
  };
}

function newKeys(): { readonly key: KeyObject; readonly publicKey: Buffer } {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return { key: privateKey, publicKey: createPublicKey(privateKey).export({ type: "spki", format: "der" }) };
}

function keyPem(key: KeyObject): Secret {
  return new Secret(key.export({ type: "pkcs8", format: "pem" }));
}
