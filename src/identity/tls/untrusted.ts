import { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { connect, type DetailedPeerCertificate } from "node:tls";
import { oneLine, parseCertificates, readRegularFile, splitHostPort } from "../../base/index.ts";
import type { NameSetting, RootSource } from "./control-plane-tls.ts";
import { serverNameOf } from "./control-plane-tls.ts";

export interface UntrustedOptions {
  /** `host:port`. */
  readonly endpoint: string;
  readonly roots: RootSource;
  readonly nameOverride: string;
  readonly nameSetting?: NameSetting | undefined;
  /** Behind a proxy nobody is asked for a certificate. */
  readonly isProxied: boolean;
}

const LIMIT_MS = 2_000;

/**
 * Why the control plane's certificate is not trusted, in one line: whose root we have, and who signed what is presented. It
 * is asked for over a connection that is closed at once. Never rejects.
 */
export async function explainUntrusted({
  endpoint,
  roots,
  nameOverride,
  isProxied,
}: UntrustedOptions): Promise<string> {
  const ours = roots.kind === "file" ? await readRoots(roots.path) : [];
  const have = roots.kind === "file" ? `"${roots.path}" holds ${ours.map(describeRoot).join(", ")}` : SYSTEM;
  const chain = isProxied ? [] : await presentedBy(endpoint, serverNameOf(endpoint, nameOverride)).catch(() => []);
  const last = chain.at(-1);
  if (last === undefined) return have;
  const signer = oneLine(last.issuer, ", ");
  const isNamesake = ours.some((root) => root.subject === last.issuer);
  const isOwnRoot = last.issuer === last.subject;
  const fingerprint = isOwnRoot ? ` (${fingerprintOf(last)})` : "";
  const another = isNamesake ? `another "${signer}" with another key` : `"${signer}"`;
  return `the certificate of "${endpoint}" is signed by ${another}${fingerprint}, and ${have}`;
}

/**
 * For which names the control plane's certificate is, and where to say that one of them is meant, in one line. Never
 * rejects.
 */
export async function explainOtherName({
  endpoint,
  nameOverride,
  nameSetting = "ISTIOD_SAN",
  isProxied,
}: UntrustedOptions): Promise<string> {
  const asked = isProxied ? [] : presentedBy(endpoint, serverNameOf(endpoint, nameOverride)).catch(() => []);
  const [own] = await asked;
  const names = [...(own?.subjectAltName ?? "").matchAll(/\bDNS:([^,\s]+)/g)].map(([, name]) => `"${name}"`);
  const setting = nameOverride === "" ? nameSetting : `${nameSetting}, which is "${nameOverride}",`;
  if (names.length === 0) return `set ${setting} to a name that the certificate has`;
  const more = names.length > MOST_NAMES ? ` and ${names.length - MOST_NAMES} more` : "";
  const shown = `${names.slice(0, MOST_NAMES).join(", ")}${more}`;
  return `the certificate of "${endpoint}" is for ${shown}; set ${setting} to one of its names`;
}

/** As many as fit in a line. */
const MOST_NAMES = 6;

const SYSTEM = "the roots of the operating system do not have it";

async function readRoots(path: string): Promise<X509Certificate[]> {
  const bytes = await readRegularFile(path).catch(() => Buffer.alloc(0)); // why is told where it is read for use
  return parseCertificates(bytes);
}

function describeRoot(root: X509Certificate): string {
  return `the root "${oneLine(root.subject, ", ")}" (${fingerprintOf(root)})`;
}

/** Its beginning is enough to compare by eye. */
function fingerprintOf({ fingerprint256 }: X509Certificate): string {
  return `SHA-256 ${fingerprint256.slice(0, 23)}…`;
}

/** The chain that the server sends, its own first. Rejects when there is none within the limit. */
function presentedBy(endpoint: string, serverName: string): Promise<X509Certificate[]> {
  const address = splitHostPort(endpoint);
  if (typeof address === "string") return Promise.resolve([]);
  return new Promise((resolve, reject) => {
    const servername = isIP(serverName) === 0 ? { servername: serverName } : {};
    const options = { ...address, port: Number(address.port), ...servername, ALPNProtocols: ["h2"] };
    // nothing is said over it
    const socket = connect({ ...options, rejectUnauthorized: false, timeout: LIMIT_MS }, () => {
      resolve(chainOf(socket.getPeerCertificate(true)));
      socket.destroy();
    });
    socket.once("timeout", () => socket.destroy(new Error("no answer")));
    socket.once("error", reject);
  });
}

function chainOf(peer: DetailedPeerCertificate): X509Certificate[] {
  const chain: X509Certificate[] = [];
  for (let at: DetailedPeerCertificate | undefined = peer; at?.raw !== undefined; at = at.issuerCertificate) {
    const certificate = new X509Certificate(at.raw);
    if (chain.some((one) => one.fingerprint256 === certificate.fingerprint256)) break; // a root is its own issuer
    chain.push(certificate);
  }
  return chain;
}
