import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { AgentError, describeError, Secret, systemCode, writeFileAtomically } from "../base/index.ts";

/** What a certificate authority signs with, all in PEM. */
export interface CaMaterial {
  readonly certificate: string;
  readonly key: Secret;
  /** Certificates between the signer (included) and the roots; empty when the signer is a root. */
  readonly chain: readonly string[];
  /** One root, or several while roots change. */
  readonly roots: string;
}

/** The layout of Istio's `cacerts`, so that such a folder can be used as it is. Source: istio.io, plug in CA certificates. */
const FILES = {
  certificate: "ca-cert.pem",
  key: "ca-key.pem",
  chain: "cert-chain.pem",
  roots: "root-cert.pem",
} as const;

/**
 * Reads the signer kept in `folder`; undefined when none of its files is there. Rejects with CA_FOLDER_INVALID when
 * just some are there, or when they do not fit together.
 */
export async function readCaMaterial(folder: string): Promise<CaMaterial | undefined> {
  const texts = await Promise.all(Object.values(FILES).map((name) => readIfThere(join(folder, name))));
  if (texts.every((text) => text === undefined)) return undefined;
  const missing = Object.values(FILES).filter((_, at) => texts[at] === undefined);
  if (missing.length > 0) throw unusable(folder, `incomplete signing CA bundle, "${missing.join('", "')}" is missing`);
  const [certificate = "", key = "", chain = "", roots = ""] = texts;
  checkFit(folder, certificate, key, roots);
  return { certificate, key: new Secret(key), chain: splitPem(chain).filter((pem) => !isRoot(pem, roots)), roots };
}

/** Keeps the signer in `folder` for `readCaMaterial`; files are for the owner alone. Rejects with FILE_UNWRITABLE. */
export async function writeCaMaterial(folder: string, material: CaMaterial): Promise<void> {
  const chain = material.chain.length > 0 ? material.chain.join("") : material.certificate;
  await writeFileAtomically(join(folder, FILES.key), material.key.reveal());
  await writeFileAtomically(join(folder, FILES.certificate), material.certificate);
  await writeFileAtomically(join(folder, FILES.chain), chain);
  await writeFileAtomically(join(folder, FILES.roots), material.roots);
}

/** The certificates of a bundle, one text each, each with a newline at its end. */
export function splitPem(bundle: string): string[] {
  const found = bundle.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  return found.map((pem) => `${pem}\n`);
}

/** A file's text; undefined when there is no such file. Rejects with FILE_UNREADABLE. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined;
    throw new AgentError("FILE_UNREADABLE", `Cannot read "${path}": ${describeError(error)}`, { cause: error });
  }
}

function checkFit(folder: string, certificate: string, key: string, roots: string): void {
  const signer = readCertificate(folder, FILES.certificate, certificate);
  if (!signer.checkPrivateKey(readKey(folder, key))) {
    throw unusable(folder, `"${FILES.key}" is not the key of "${FILES.certificate}"`);
  }
  if (!signer.ca) throw unusable(folder, `"${FILES.certificate}" is no CA's certificate`);
  if (Date.parse(signer.validTo) < Date.now())
    throw unusable(folder, `"${FILES.certificate}" expired ${signer.validTo}`);
  if (splitPem(roots).length === 0) throw unusable(folder, `"${FILES.roots}" holds no certificate`);
}

function readCertificate(folder: string, file: string, pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (error) {
    throw unusable(folder, `"${file}" is no certificate`, error);
  }
}

function readKey(folder: string, pem: string) {
  try {
    return createPrivateKey(pem);
  } catch (error) {
    throw unusable(folder, `"${FILES.key}" is no private key`, error);
  }
}

/** Clients get the roots as one last element; a chain that repeats them would only be longer. */
function isRoot(pem: string, roots: string): boolean {
  const { fingerprint256 } = new X509Certificate(pem);
  return splitPem(roots).some((root) => new X509Certificate(root).fingerprint256 === fingerprint256);
}

function unusable(folder: string, what: string, cause?: unknown): AgentError {
  return new AgentError("CA_FOLDER_INVALID", `Cannot use the CA in "${folder}": ${what}`, { cause });
}
