import { createPrivateKey } from "node:crypto";
import { readFile } from "node:fs/promises";
import { AgentError, describeError, type Logger, Secret } from "../../base/index.ts";
import { encode, parseCertificates } from "./pem.ts";
import type { SecretItem } from "./secret-item.ts";

/** Files behind one secret; absolute paths. */
export type FileSource =
  | { readonly kind: "certificate"; readonly certChain: string; readonly key: string }
  | { readonly kind: "roots"; readonly path: string };

/** Reads and checks a file secret; what was checked is what is served. Rejects with FILE_UNREADABLE or SECRET_FILE_INVALID. */
export function readFileSecret(name: string, source: FileSource, log: Logger): Promise<SecretItem> {
  return source.kind === "roots" ? readRoots(name, source.path, log) : readCertificate(name, source);
}

async function readCertificate(name: string, source: { certChain: string; key: string }): Promise<SecretItem> {
  const [certChain, keyBytes] = await Promise.all([read(source.certChain), read(source.key)]);
  const [leaf] = parseCertificates(certChain);
  if (leaf === undefined) throw invalid(source.certChain, "it holds no certificate, wanted PEM");
  const key = new Secret(keyBytes);
  if (!leaf.checkPrivateKey(parseKey(source.key, key))) {
    throw invalid(source.key, `the key does not belong to the certificate in "${source.certChain}"`);
  }
  return { kind: "certificate", name, certChain, key, notAfterMs: Date.parse(leaf.validTo) };
}

async function readRoots(name: string, path: string, log: Logger): Promise<SecretItem> {
  const bad: string[] = [];
  const certificates = parseCertificates(await read(path), (reason) => bad.push(reason));
  if (certificates.length === 0) throw invalid(path, "failed to parse root certs from file, wanted PEM");
  if (bad.length > 0) log.error("failed to parse some certs from file", { file: path, reasons: bad.join("; ") });
  return { kind: "roots", name, roots: Buffer.from(`${certificates.map(encode).join("\n")}\n`) };
}

async function read(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new AgentError("FILE_UNREADABLE", `Cannot read "${path}": ${describeError(error)}`, { cause: error });
  }
}

function parseKey(path: string, key: Secret) {
  try {
    return createPrivateKey({ key: key.reveal(), format: "pem" });
  } catch {
    throw invalid(path, "it holds no private key, wanted PEM"); // no cause: its text could quote the key
  }
}

function invalid(path: string, reason: string): AgentError {
  return new AgentError("SECRET_FILE_INVALID", `Cannot use "${path}": ${reason}`);
}
