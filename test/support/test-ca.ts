import "reflect-metadata";
import { webcrypto } from "node:crypto";
import * as x509 from "@peculiar/x509";

export interface IssuedCertificate {
  readonly certPem: string;
  readonly keyPem: string;
}

export interface TestCa extends IssuedCertificate {
  /** A leaf for the names (DNS) and addresses (IP), of which there may be none. `notAfter` may lie in the past. */
  issue(options: {
    /** Default `CN=leaf`. */
    readonly subject?: string;
    readonly dns?: readonly string[];
    readonly ips?: readonly string[];
    readonly notAfter?: Date;
    /** An intermediate CA instead of a leaf. */
    readonly isCa?: boolean;
  }): Promise<IssuedCertificate>;
}

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const DAY_MS = 86_400_000;

/** A certificate authority of its own for a test; nothing else trusts it. */
export async function createTestCa(name = "test root"): Promise<TestCa> {
  const crypto = webcrypto;
  x509.cryptoProvider.set(crypto as never); // the same thing under the browser's type name
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    keys,
    notBefore: new Date(Date.now() - 2 * DAY_MS),
    notAfter: new Date(Date.now() + 2 * DAY_MS),
    signingAlgorithm: ALGORITHM,
    extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
  });
  let serial = 1;
  return {
    certPem: root.toString("pem"),
    keyPem: await pemOf(keys.privateKey),
    async issue({ subject = "CN=leaf", dns = [], ips = [], notAfter = new Date(Date.now() + DAY_MS), isCa = false }) {
      const names = [
        ...dns.map((value) => ({ type: "dns" as const, value })),
        ...ips.map((value) => ({ type: "ip" as const, value })),
      ];
      const leafKeys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
      const leaf = await x509.X509CertificateGenerator.create({
        serialNumber: (++serial).toString(16).padStart(2, "0"),
        subject,
        issuer: root.subject,
        publicKey: leafKeys.publicKey,
        signingKey: keys.privateKey,
        signingAlgorithm: ALGORITHM,
        notBefore: new Date(Date.now() - 2 * DAY_MS),
        notAfter,
        extensions: [
          ...(isCa ? [new x509.BasicConstraintsExtension(true, undefined, true)] : []),
          ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)]),
        ],
      });
      return { certPem: leaf.toString("pem"), keyPem: await pemOf(leafKeys.privateKey) };
    },
  };
}

async function pemOf(key: webcrypto.CryptoKey): Promise<string> {
  return x509.PemConverter.encode(await webcrypto.subtle.exportKey("pkcs8", key), "PRIVATE KEY");
}
