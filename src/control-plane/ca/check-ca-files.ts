import type { KeyObject, X509Certificate } from "node:crypto";
import { encodeCertificate, oneLine, parseChain, parsePrivateKey, Secret } from "../../base/index.ts";
import { readAuthority } from "./certificate.ts";

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
export const FILES = {
  certificate: "ca-cert.pem",
  key: "ca-key.pem",
  chain: "cert-chain.pem",
  roots: "root-cert.pem",
} as const;

type CaFiles = Readonly<Record<keyof typeof FILES, string>>;

/**
 * The signer in these texts when they fit together: the key is the signer's, each certificate of the way to a root is a
 * CA's, valid now and signed by the next, the last of them is a root, and the chain holds nothing that leads elsewhere.
 * Otherwise the reason, naming the file. Further roots are fine: they are there while roots change.
 */
export function checkCaFiles(files: CaFiles, nowMs: number): CaMaterial | string {
  const parsed = {
    certificate: parse(files, "certificate"),
    chain: parse(files, "chain"),
    roots: parse(files, "roots"),
  };
  const { certificate: signers, chain, roots } = parsed;
  if (typeof signers === "string") return signers;
  if (typeof chain === "string") return chain;
  if (typeof roots === "string") return roots;
  const [signer] = signers;
  if (signer === undefined) return `"${FILES.certificate}" is no certificate`;
  if (roots.length === 0) return `"${FILES.roots}" holds no certificate`;
  const key = parsePrivateKey(files.key);
  if (typeof key === "string") return `"${FILES.key}" is no private key: ${key}`;
  if (!signer.checkPrivateKey(key.key)) return `"${FILES.key}" is not the key of "${FILES.certificate}"`;
  if (!canSign(key.key)) return `"${FILES.key}" is a key of another kind than RSA, P-256 or P-384, which cannot sign`;
  const isValid = (one: X509Certificate): boolean => isWithin(one, nowMs);
  const start = [{ certificate: signer, file: FILES.certificate }];
  const { way, isWhole } = findWay(start, [...chain].sort(byTruth(isValid)), [...roots].sort(byTruth(isValid)));
  if (!isWhole) return whyNoWay(way, chain.length);
  const stray = chain.find((one) => !roots.some((root) => isSame(root, one)) && !leadsOn(one, way));
  if (stray !== undefined)
    return `"${nameOf(stray)}" of "${FILES.chain}" did not issue "${FILES.certificate}", nor who did`;
  const problem = way.map((one, at) => problemOf(one, at, nowMs)).find((text) => text !== undefined);
  if (problem !== undefined) return problem;
  const between = way.slice(0, -1);
  return {
    certificate: encodeCertificate(signer),
    key: new Secret(key.pem),
    chain: between.map(({ certificate }) => encodeCertificate(certificate)),
    roots: roots.map(encodeCertificate).join(""),
  };
}

/** A certificate of the way from the signer to its root, with the file that it came from. */
interface Step {
  readonly certificate: X509Certificate;
  readonly file: string;
}

function parse(files: CaFiles, part: "certificate" | "chain" | "roots"): readonly X509Certificate[] | string {
  const bad: string[] = [];
  const found = parseChain(files[part], (reason) => bad.push(reason));
  if (found.length === 0 && part === "certificate") return `"${FILES[part]}" is no certificate`;
  return bad.length === 0 ? found : `"${FILES[part]}" holds a certificate that cannot be read: ${bad.join("; ")}`;
}

/**
 * The way from the first step to a root, or the longest that leads to none. The order within the files is free. Source: Go
 * crypto/x509 (Certificate.Verify), by which istiod checks its own folder.
 */
function findWay(way: readonly Step[], chain: readonly X509Certificate[], roots: readonly X509Certificate[]): Way {
  const last = way.at(-1)?.certificate;
  if (last === undefined || roots.some((root) => isSame(root, last))) return { way, isWhole: true };
  const root = roots.find((one) => isIssuedBy(last, one));
  if (root !== undefined) return { way: [...way, { certificate: root, file: FILES.roots }], isWhole: true };
  let longest: Way = { way, isWhole: false };
  for (const next of chain) {
    if (way.some(({ certificate }) => isSame(certificate, next)) || !isIssuedBy(last, next)) continue;
    const found = findWay([...way, { certificate: next, file: FILES.chain }], chain, roots);
    if (found.isWhole) return found;
    if (found.way.length > longest.way.length) longest = found;
  }
  return longest;
}

interface Way {
  readonly way: readonly Step[];
  readonly isWhole: boolean;
}

function whyNoWay(way: readonly Step[], chainLength: number): string {
  const last = way.at(-1);
  const places = chainLength === 0 ? `"${FILES.roots}"` : `"${FILES.chain}" and "${FILES.roots}"`;
  const [name, issuer] =
    last === undefined ? ["", ""] : [nameOf(last.certificate), oneLine(last.certificate.issuer, ", ")];
  return `no certificate in ${places} issued "${name}" of "${last?.file}" (its issuer is "${issuer}")`;
}

/** Also a second certificate of an issuer on the way, as cross-signing makes them. */
function leadsOn(one: X509Certificate, way: readonly Step[]): boolean {
  return way.some(({ certificate }) => isSame(certificate, one) || isIssuedBy(certificate, one));
}

const isSame = (a: X509Certificate, b: X509Certificate): boolean => a.raw.equals(b.raw);

/** Those first of which it is true: of two certificates for one issuer the valid one counts. */
function byTruth(isTrue: (one: X509Certificate) => boolean) {
  return (a: X509Certificate, b: X509Certificate): number => Number(isTrue(b)) - Number(isTrue(a));
}

function isWithin({ validFrom, validTo }: X509Certificate, nowMs: number): boolean {
  return Date.parse(validFrom) <= nowMs && nowMs < Date.parse(validTo);
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  try {
    return certificate.issuer === issuer.subject && certificate.verify(issuer.publicKey);
  } catch {
    return false; // a key of a kind that this runtime does not know signs nothing here
  }
}

function problemOf({ certificate, file }: Step, below: number, nowMs: number): string | undefined {
  const name = `"${nameOf(certificate)}" of "${file}"`;
  const { isVersion3, pathLength: most } = readAuthority(certificate.raw);
  // a root of X.509 version 1 has no extensions that could say so
  if (!certificate.ca && (isVersion3 || file !== FILES.roots)) return `${name} is no CA's certificate`;
  if (Date.parse(certificate.validTo) <= nowMs) return `${name} expired ${certificate.validTo}`;
  if (Date.parse(certificate.validFrom) > nowMs) return `${name} is not valid before ${certificate.validFrom}`;
  if (most === undefined || below <= most) return undefined;
  return `${name} allows ${most} CA${most === 1 ? "" : "s"} below it, and there ${below === 1 ? "is" : "are"} ${below}`;
}

function canSign(key: KeyObject): boolean {
  const kind = key.asymmetricKeyDetails?.namedCurve ?? key.asymmetricKeyType ?? "";
  return ["rsa", "prime256v1", "secp384r1"].includes(kind);
}

function nameOf({ subject }: X509Certificate): string {
  return oneLine(subject ?? "", ", ") || "a certificate without a name";
}
