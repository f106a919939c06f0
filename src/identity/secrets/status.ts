import { X509Certificate } from "node:crypto";
import { parseCertificates } from "../../base/index.ts";
import type { IssuedCertificate } from "../ca/issue.ts";
import type { TokenClaims } from "../tokens/jwt.ts";
import { describeTokenTrouble, type TokenState } from "../tokens/token-state.ts";
import type { SecretItem } from "./secret-item.ts";

/** What a certificate says, for people; times in milliseconds since the epoch. */
export interface CertificateStatus {
  readonly source: "ca" | "file";
  readonly subject: string;
  /** The identity in it, for example `spiffe://cluster.local/ns/a/sa/b`; absent where there is none. */
  readonly spiffeId?: string;
  /** As Node prints it, for example `URI:spiffe://cluster.local/ns/a/sa/b`. */
  readonly subjectAltName: string;
  readonly issuer: string;
  readonly serialNumber: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** Until then; negative when it has expired. */
  readonly leftMs: number;
  /** SHA-256 fingerprints of the roots served with it. */
  readonly rootFingerprints: readonly string[];
}

/** Something that is wrong. */
export interface Trouble {
  /** One sentence. */
  readonly text: string;
  /** Milliseconds since the epoch; absent where it is not known. */
  readonly sinceMs?: number;
}

export interface FileStatus {
  readonly name: string;
  /** Why the files cannot be used as they are now; what was good last stays in use. */
  readonly problem: string | undefined;
  readonly isServed: boolean;
}

/** Everything about the workload's identity, for status pages and readiness. */
export interface IdentityStatus {
  readonly certificate: CertificateStatus | undefined;
  readonly nextRotationMs: number | undefined;
  /** Why the last request to the CA failed; undefined since the last success. */
  readonly lastError: string | undefined;
  readonly token: TokenState;
  /** Whom the token is for; undefined where there is none. */
  readonly tokenClaims: TokenClaims | undefined;
  readonly files: readonly FileStatus[];
  /** Why the copies in `OUTPUT_CERTS` are not up to date. */
  readonly outputProblem: string | undefined;
  /** Empty when all is well. */
  readonly troubles: readonly Trouble[];
}

export interface IdentityFacts {
  readonly issued: IssuedCertificate | undefined;
  /** The certificate from mounted files, which comes first. */
  readonly mounted: SecretItem | undefined;
  /** PEM. */
  readonly roots: string;
  readonly nextRotationMs: number | undefined;
  readonly lastError: string | undefined;
  readonly failingSinceMs: number | undefined;
  readonly token: TokenState;
  readonly tokenClaims: TokenClaims | undefined;
  readonly isTokenNeeded: boolean;
  readonly files: readonly FileStatus[];
  readonly outputProblem: string | undefined;
  readonly nowMs: number;
}

export function describeIdentity(facts: IdentityFacts): IdentityStatus {
  const { nextRotationMs, lastError, token, tokenClaims, files, outputProblem } = facts;
  const certificate = certificateStatus(facts);
  const caTrouble = certificate === undefined ? "there is no certificate yet" : "the certificate cannot be renewed";
  const tokenTrouble = facts.isTokenNeeded ? describeTokenTrouble(token) : undefined;
  const isTold = tokenTrouble !== undefined && lastError?.includes(tokenTrouble) === true;
  const troubles = [
    ...(lastError === undefined ? [] : [troubleOf(`${caTrouble}: ${lastError}`, facts.failingSinceMs)]),
    ...(tokenTrouble === undefined || isTold ? [] : [troubleOf(tokenTrouble, tokenSinceMs(token))]),
    ...(outputProblem === undefined ? [] : [troubleOf(outputProblem)]),
    ...files.flatMap(({ name, problem }) => (problem === undefined ? [] : [troubleOf(`${name}: ${problem}`)])),
  ];
  return { certificate, nextRotationMs, lastError, token, tokenClaims, files, outputProblem, troubles };
}

function troubleOf(text: string, sinceMs?: number): Trouble {
  return { text, ...(sinceMs === undefined ? {} : { sinceMs }) };
}

/** An expired one was good until then. */
function tokenSinceMs(token: TokenState): number | undefined {
  if (token.kind === "missing") return token.sinceMs;
  return token.kind === "expired" ? token.expiresAtMs : undefined;
}

function certificateStatus({ issued, mounted, roots, nowMs }: IdentityFacts): CertificateStatus | undefined {
  const fromFile = mounted?.kind === "certificate" ? new X509Certificate(mounted.certChain) : undefined;
  const leaf = fromFile ?? issued?.leaf;
  if (leaf === undefined) return undefined;
  const notAfterMs = Date.parse(leaf.validTo);
  const [, spiffeId] = /URI:"?(spiffe:\/\/[^\s,"]+)/.exec(leaf.subjectAltName ?? "") ?? [];
  return {
    ...(spiffeId === undefined ? {} : { spiffeId }),
    source: fromFile === undefined ? "ca" : "file",
    subject: leaf.subject ?? "",
    subjectAltName: leaf.subjectAltName ?? "",
    issuer: leaf.issuer ?? "",
    serialNumber: leaf.serialNumber,
    notBeforeMs: Date.parse(leaf.validFrom),
    notAfterMs,
    leftMs: notAfterMs - nowMs,
    rootFingerprints: parseCertificates(roots).map((root) => root.fingerprint256),
  };
}
