import { webcrypto } from "node:crypto";
import * as x509 from "@peculiar/x509"; // needs reflect-metadata, which start-control-plane.ts loads before
import { AgentError } from "../base/index.ts";

/** A certificate authority in memory. */
export interface Authority {
  readonly rootPem: string;
  /** PEM of a server certificate with its key. */
  readonly server: { readonly certificate: string; readonly key: string };
  /**
   * Signs a request for `identities` (SPIFFE URIs), whatever the request itself asks for. Resolves with leaf and root.
   * Rejects with CSR_INVALID.
   */
  sign(
    csrPem: string,
    identities: readonly string[],
    ttlSeconds: number,
  ): Promise<readonly [leaf: string, root: string]>;
}

export interface AuthorityOptions {
  readonly trustDomain: string;
  readonly serverNames: readonly string[];
  readonly serverIps: readonly string[];
}

const EC = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const DAY_MS = 86_400_000;
const ROOT_DAYS = 3_650;
/** Clocks differ; istiod dates its certificates back by as much. Source: istio/istio security/pkg/pki/util. */
const BACKDATE_MS = 120_000;

/** Makes a fresh root and a server certificate; P-256, because a root of a development mesh should start fast. */
export async function createAuthority(options: AuthorityOptions): Promise<Authority> {
  x509.cryptoProvider.set(webcrypto as unknown as Parameters<typeof x509.cryptoProvider.set>[0]);
  const keys = await newKeys();
  const now = Date.now();
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: `O=${options.trustDomain}`,
    notBefore: new Date(now - BACKDATE_MS),
    notAfter: new Date(now + ROOT_DAYS * DAY_MS),
    signingAlgorithm: EC,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  const issue = (publicKey: x509.PublicKeyType, names: x509.JsonGeneralNames, ttlMs: number) =>
    issueLeaf({ root, rootKey: keys.privateKey, publicKey, names, ttlMs });
  return {
    rootPem: withNewline(root.toString("pem")),
    server: await serverCertificate(options, issue),
    async sign(csrPem, identities, ttlSeconds) {
      const csr = await readRequest(csrPem);
      const names = identities.map((value) => ({ type: "url" as const, value }));
      const leaf = await issue(csr.publicKey, names, ttlSeconds * 1_000);
      return [withNewline(leaf.toString("pem")), withNewline(root.toString("pem"))];
    },
  };
}

type Issue = (
  publicKey: x509.PublicKeyType,
  names: x509.JsonGeneralNames,
  ttlMs: number,
) => Promise<x509.X509Certificate>;

interface LeafOptions {
  readonly root: x509.X509Certificate;
  readonly rootKey: webcrypto.CryptoKey;
  readonly publicKey: x509.PublicKeyType;
  readonly names: x509.JsonGeneralNames;
  readonly ttlMs: number;
}

async function issueLeaf({ root, rootKey, publicKey, names, ttlMs }: LeafOptions): Promise<x509.X509Certificate> {
  const now = Date.now();
  return x509.X509CertificateGenerator.create({
    serialNumber: serial(),
    issuer: root.subject,
    notBefore: new Date(now - BACKDATE_MS),
    notAfter: new Date(Math.min(now + ttlMs, root.notAfter.getTime())),
    signingAlgorithm: EC,
    signingKey: rootKey,
    publicKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyEncipherment, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
      await x509.AuthorityKeyIdentifierExtension.create(root),
      new x509.SubjectAlternativeNameExtension(names, true), // critical: the subject is empty (RFC 5280 4.2.1.6)
    ],
  });
}

async function serverCertificate(options: AuthorityOptions, issue: Issue) {
  const keys = await newKeys();
  const names: x509.JsonGeneralNames = [
    ...options.serverNames.map((value) => ({ type: "dns" as const, value })),
    ...options.serverIps.map((value) => ({ type: "ip" as const, value })),
  ];
  const certificate = await issue(keys.publicKey, names, ROOT_DAYS * DAY_MS);
  const key = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey)).toString("base64");
  const pem = `-----BEGIN PRIVATE KEY-----\n${key.replace(/(.{64})/g, "$1\n").trimEnd()}\n-----END PRIVATE KEY-----\n`;
  return { certificate: withNewline(certificate.toString("pem")), key: pem };
}

async function readRequest(csrPem: string): Promise<x509.Pkcs10CertificateRequest> {
  try {
    const csr = new x509.Pkcs10CertificateRequest(csrPem);
    if (await csr.verify()) return csr;
  } catch (error) {
    throw new AgentError("CSR_INVALID", "CSR signing error (cannot read the request, wanted PEM)", { cause: error });
  }
  throw new AgentError("CSR_INVALID", "CSR signing error (the request is not signed with its own key)");
}

function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(EC, true, ["sign", "verify"]) as Promise<webcrypto.CryptoKeyPair>;
}

/** 128 random bits, the first one 0 so that the number is positive. */
function serial(): string {
  const bytes = Buffer.from(webcrypto.getRandomValues(new Uint8Array(16)));
  bytes[0] = (bytes[0] ?? 0) & 0x7f;
  return bytes.toString("hex");
}

function withNewline(pem: string): string {
  return pem.endsWith("\n") ? pem : `${pem}\n`;
}
