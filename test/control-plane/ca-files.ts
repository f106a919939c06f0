import "reflect-metadata";
import { webcrypto } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import * as x509 from "@peculiar/x509";

export interface TestSigner {
  readonly name: string;
  readonly pem: string;
  readonly keyPem: string;
  readonly keys: webcrypto.CryptoKeyPair;
}

export interface SignerOptions {
  /** Default: it signs itself. */
  readonly issuer?: TestSigner;
  /** The key of another certificate, as cross-signing and a renewed root have it. */
  readonly keys?: webcrypto.CryptoKeyPair;
  /** Days from now. Default: -2 and 9. */
  readonly from?: number;
  readonly to?: number;
  readonly isCa?: boolean;
  readonly pathLength?: number;
  /** False: its key usage names other uses alone. */
  readonly maySign?: boolean;
  readonly curve?: "P-256" | "P-384" | "P-521";
}

const DAY_MS = 86_400_000;

/** A CA's certificate, or what should be one. */
export async function makeSigner(name: string, options: SignerOptions = {}): Promise<TestSigner> {
  const { issuer, from = -2, to = 9, isCa = true, pathLength, curve = "P-256" } = options;
  x509.cryptoProvider.set(webcrypto as never);
  const algorithm = { name: "ECDSA", namedCurve: curve, hash: "SHA-256" };
  const keys = options.keys ?? (await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]));
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: Buffer.from(webcrypto.getRandomValues(new Uint8Array(8)))
      .toString("hex")
      .replace(/^./, "1"),
    subject: `CN=${name}`,
    issuer: `CN=${issuer?.name ?? name}`,
    publicKey: keys.publicKey,
    signingKey: (issuer?.keys ?? keys).privateKey,
    signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
    notBefore: new Date(Date.now() + from * DAY_MS),
    notAfter: new Date(Date.now() + to * DAY_MS),
    extensions: [
      new x509.BasicConstraintsExtension(isCa, pathLength, true),
      ...(options.maySign === false ? [new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true)] : []),
    ],
  });
  const pkcs8 = await webcrypto.subtle.exportKey("pkcs8", keys.privateKey);
  return {
    name,
    keys,
    pem: `${certificate.toString("pem")}\n`,
    keyPem: `${x509.PemConverter.encode(pkcs8, "PRIVATE KEY")}\n`,
  };
}

/** The four files of Istio's `cacerts`. */
export interface CaTexts {
  readonly signer: string;
  readonly key: string;
  readonly chain: string;
  readonly roots: string;
}

export function writeCaFiles(folder: string, { signer, key, chain, roots }: CaTexts): void {
  for (const [name, text] of Object.entries({
    "ca-cert": signer,
    "ca-key": key,
    "cert-chain": chain,
    "root-cert": roots,
  })) {
    writeFileSync(join(folder, `${name}.pem`), text);
  }
}
