import { readFile, stat } from "node:fs/promises";

/** Where distributions keep their trust store, in the order of search. Source: Go crypto/x509/root_linux.go, Istio pkg/security. */
const OS_BUNDLES: readonly string[] = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/pki/tls/cacert.pem",
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
  "/etc/ssl/cert.pem",
  "/usr/local/etc/ssl/cert.pem",
  "/etc/ssl/certs/ca-certificates",
];

/** The operating system's roots as PEM; undefined when no bundle is in a known place. */
export async function readOsRoots(): Promise<Buffer | undefined> {
  const path = await findOsBundle();
  return path === undefined ? undefined : readFile(path);
}

/** Path of the first bundle that exists. */
export async function findOsBundle(candidates: readonly string[] = OS_BUNDLES): Promise<string | undefined> {
  for (const path of candidates) {
    const found = await stat(path).catch(() => undefined); // absent on this distribution: the next one
    if (found?.isFile() === true) return path;
  }
  return undefined;
}
