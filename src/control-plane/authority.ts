import { createPrivateKey, type KeyObject, webcrypto } from "node:crypto";
import * as x509 from "@peculiar/x509"; // needs reflect-metadata, which start-control-plane.ts loads before
import { AgentError, Secret } from "../base/index.ts";
import { type CaMaterial, splitPem } from "./ca-material.ts";

/** A certificate authority. */
export interface Authority {
  readonly material: CaMaterial;
  /**
   * Signs a request for `identities` (SPIFFE URIs), whatever the request itself asks for. Resolves with the leaf, what
   * is between it and the roots, and last the roots as one text. Rejects with CSR_INVALID.
   */
  sign(csrPem: string, identities: readonly string[], ttlSeconds: number): Promise<readonly string[]>;
  /** A certificate for a server of ours, with its key. */
  issueServer(names: ServerNames): Promise<{ readonly chain: string; readonly key: Secret }>;
}

export interface ServerNames {
  readonly dns: readonly string[];
  readonly ips: readonly string[];
}

type SigningAlgorithm = { readonly name: string; readonly namedCurve: string; readonly hash: string };

const EC = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const DAY_MS = 86_400_000;
const ROOT_DAYS = 3_650;
/** Clocks differ; istiod dates its certificates back by as much. Source: istio/istio security/pkg/pki/util. */
const BACKDATE_MS = 120_000;
/** A common name may have as many characters. Source: RFC 5280, ub-common-name. */
const LONGEST_COMMON_NAME = 64;

/** A fresh root; P-256, because a development mesh should start fast. */
export async function createRoot(trustDomain: string): Promise<CaMaterial> {
  useNodeCrypto();
  const keys = await newKeys();
  const now = Date.now();
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: [{ O: [trustDomain] }],
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
  const certificate = pemOf(root);
  return { certificate, key: await keyPem(keys.privateKey), chain: [], roots: certificate };
}

/** An authority that signs with `material`, whose key is RSA or EC. */
export async function createAuthority(material: CaMaterial): Promise<Authority> {
  useNodeCrypto();
  const signer: Signer = {
    certificate: new x509.X509Certificate(splitPem(material.certificate)[0] ?? ""),
    ...(await importKey(createPrivateKey(material.key.reveal()))),
  };
  return {
    material,
    async sign(csrPem, identities, ttlSeconds) {
      const csr = await readRequest(csrPem);
      const [first = ""] = identities;
      const hasCommonName = csr.subjectName.getField("CN").length > 0 && first.length <= LONGEST_COMMON_NAME;
      const leaf = await issueLeaf(signer, {
        publicKey: csr.publicKey,
        names: identities.map((value) => ({ type: "url" as const, value })),
        ttlMs: ttlSeconds * 1_000,
        ...(hasCommonName && { commonName: first }),
      });
      return [leaf, ...material.chain, material.roots];
    },
    async issueServer({ dns, ips }) {
      const keys = await newKeys();
      const names = [
        ...dns.map((value) => ({ type: "dns" as const, value })),
        ...ips.map((value) => ({ type: "ip" as const, value })),
      ];
      const leaf = await issueLeaf(signer, { publicKey: keys.publicKey, names, ttlMs: ROOT_DAYS * DAY_MS });
      return { chain: [leaf, ...material.chain].join(""), key: await keyPem(keys.privateKey) };
    },
  };
}

interface Signer {
  readonly certificate: x509.X509Certificate;
  readonly key: webcrypto.CryptoKey;
  readonly algorithm: SigningAlgorithm;
}

interface Leaf {
  readonly publicKey: x509.PublicKeyType;
  readonly names: x509.JsonGeneralNames;
  readonly ttlMs: number;
  readonly commonName?: string;
}

async function issueLeaf({ certificate, key, algorithm }: Signer, leaf: Leaf): Promise<string> {
  const now = Date.now();
  const signerEndMs = certificate.notAfter.getTime();
  if (signerEndMs <= now) throw new AgentError("INTERNAL", "CSR signing error (the signing certificate has expired)");
  const issued = await x509.X509CertificateGenerator.create({
    serialNumber: serial(),
    ...(leaf.commonName !== undefined && { subject: [{ CN: [leaf.commonName] }] }),
    issuer: certificate.subjectName.toJSON(),
    notBefore: new Date(now - BACKDATE_MS),
    notAfter: new Date(Math.min(now + leaf.ttlMs, signerEndMs)),
    signingAlgorithm: algorithm,
    signingKey: key,
    publicKey: leaf.publicKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyEncipherment, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
      await x509.AuthorityKeyIdentifierExtension.create(certificate),
      new x509.SubjectAlternativeNameExtension(leaf.names, true), // critical: the subject is mostly empty (RFC 5280 4.2.1.6)
    ],
  });
  return pemOf(issued);
}

async function readRequest(csrPem: string): Promise<x509.Pkcs10CertificateRequest> {
  if (!/-----BEGIN (NEW )?CERTIFICATE REQUEST-----/.test(csrPem)) {
    throw new AgentError("CSR_INVALID", "CSR signing error (the request is not PEM)");
  }
  try {
    const csr = new x509.Pkcs10CertificateRequest(csrPem);
    if (await csr.verify()) return csr;
  } catch (error) {
    throw new AgentError("CSR_INVALID", "CSR signing error (cannot read the request)", { cause: error });
  }
  throw new AgentError("CSR_INVALID", "CSR signing error (the request is not signed with its own key)");
}

function useNodeCrypto(): void {
  x509.cryptoProvider.set(webcrypto as unknown as Parameters<typeof x509.cryptoProvider.set>[0]);
}

const CURVES: Readonly<Record<string, SigningAlgorithm>> = {
  prime256v1: EC,
  secp384r1: { name: "ECDSA", namedCurve: "P-384", hash: "SHA-384" },
};
const RSA: SigningAlgorithm = { name: "RSASSA-PKCS1-v1_5", namedCurve: "", hash: "SHA-256" };

async function importKey(key: KeyObject): Promise<{ key: webcrypto.CryptoKey; algorithm: SigningAlgorithm }> {
  const algorithm = key.asymmetricKeyType === "rsa" ? RSA : CURVES[key.asymmetricKeyDetails?.namedCurve ?? ""];
  if (algorithm === undefined) {
    throw new AgentError("CA_FOLDER_INVALID", "Cannot sign with the CA's key, wanted RSA or EC P-256 or P-384");
  }
  const bytes = key.export({ type: "pkcs8", format: "der" });
  return { key: await webcrypto.subtle.importKey("pkcs8", bytes, algorithm, false, ["sign"]), algorithm };
}

function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(EC, true, ["sign", "verify"]) as Promise<webcrypto.CryptoKeyPair>;
}

async function keyPem(key: webcrypto.CryptoKey): Promise<Secret> {
  const der = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", key));
  return new Secret(
    createPrivateKey({ key: der, format: "der", type: "pkcs8" }).export({ type: "pkcs8", format: "pem" }),
  );
}

/** 128 random bits, the first one 0 so that the number is positive. */
function serial(): string {
  const bytes = Buffer.from(webcrypto.getRandomValues(new Uint8Array(16)));
  bytes[0] = (bytes[0] ?? 0) & 0x7f;
  return bytes.toString("hex");
}

function pemOf(certificate: x509.X509Certificate): string {
  return `${certificate.toString("pem").trimEnd()}\n`;
}
