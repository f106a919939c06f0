import { readdir, readlink, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { AgentError, describeError, pemBlock, readPemBlocks, readRegularFile } from "../../base/index.ts";
import { goodRoots } from "./key-pair.ts";

/** Where the operating system's roots are; the words of Go and OpenSSL. */
export interface SystemRoots {
  /** `SSL_CERT_FILE`: takes the place of the known bundles. Empty for none. */
  readonly certFile: string;
  /** `SSL_CERT_DIR`: folders with a colon between them, in the place of the known folders. Empty for none. */
  readonly certFolders: string;
  /** Relative paths start here. */
  readonly cwd: string;
}

const NO_WORDS: SystemRoots = { certFile: "", certFolders: "", cwd: "/" };

/** Where distributions keep their trust store, in the order of search. Source: Go crypto/x509/root_linux.go. */
const BUNDLES: readonly string[] = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/pki/tls/cacert.pem",
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

/** Two more that Istio knows for Envoy. Source: istio/istio pkg/security/security.go (GetOSRootFilePath). */
const ENVOY_BUNDLES: readonly string[] = [...BUNDLES, "/usr/local/etc/ssl/cert.pem", "/etc/ssl/certs/ca-certificates"];

/** Folders whose files count beside the bundle. Source: Go crypto/x509/root_linux.go. */
const FOLDERS: readonly string[] = ["/etc/ssl/certs", "/etc/pki/tls/certs"];

/**
 * The operating system's roots as PEM, found as Go finds them: the first bundle that can be read, and all files of the
 * folders. Undefined when this machine has none in a known place. Rejects with ROOT_CA_UNUSABLE when somebody named
 * places that hold none: another list in their stead would trust who is not to be trusted.
 */
export async function readSystemRoots(places: SystemRoots = NO_WORDS): Promise<Buffer | undefined> {
  const { certFile, certFolders, cwd } = places;
  const files = certFile === "" ? BUNDLES : [certFile];
  const folders = certFolders === "" ? FOLDERS : certFolders.split(":").filter((folder) => folder !== "");
  const failures: string[] = [];
  const bundle = await firstReadable(
    files.map((file) => resolve(cwd, file)),
    failures,
  );
  const others = await Promise.all(folders.map((folder) => readFolder(resolve(cwd, folder))));
  const roots = goodRoots(eachOnce([bundle, ...others.flat()]));
  if (roots.length > 0) return roots;
  if (certFile === "" && certFolders === "") return undefined;
  const named = [certFile && `SSL_CERT_FILE "${certFile}"`, certFolders && `SSL_CERT_DIR "${certFolders}"`];
  const why = failures.length === 0 ? "" : ` (${failures.join("; ")})`;
  throw new AgentError(
    "ROOT_CA_UNUSABLE",
    `Cannot find system roots: no certificate in ${named.filter(Boolean).join(" or ")}${why}`,
  );
}

/** The certificates of a bundle are in the folder beside it as well; each is to be parsed once. */
function eachOnce(bundles: readonly Buffer[]): string {
  const blocks = bundles.flatMap((pem) => readPemBlocks(pem));
  const texts = blocks.flatMap(({ label, bytes }) => (bytes === undefined ? [] : [pemBlock(label, bytes)]));
  return [...new Set(texts)].join("");
}

async function firstReadable(files: readonly string[], failures: string[]): Promise<Buffer> {
  for (const file of files) {
    try {
      return await readRegularFile(file);
    } catch (error) {
      failures.push(`${file}: ${describeError(error)}`); // absent on this distribution: the next one
    }
  }
  return Buffer.alloc(0);
}

/** The files of a folder; links to others in the same folder are OpenSSL's hashes, and would only come twice. */
async function readFolder(folder: string): Promise<Buffer[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []); // absent here, or not ours to see
  const contents: Buffer[] = [];
  for (const entry of entries) {
    const path = join(folder, entry.name);
    const target = entry.isSymbolicLink() ? await readlink(path).catch(() => "") : "/";
    if (target.includes("/")) contents.push(await readRegularFile(path).catch(() => Buffer.alloc(0)));
  }
  return contents;
}

/** Path of the first bundle that exists, for Envoy (`file-root:system`). */
export async function findOsBundle(candidates: readonly string[] = ENVOY_BUNDLES): Promise<string | undefined> {
  for (const path of candidates) {
    const found = await stat(path).catch(() => undefined); // absent on this distribution: the next one
    if (found?.isFile() === true) return path;
  }
  return undefined;
}
