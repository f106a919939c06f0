import type { X509Certificate } from "node:crypto";
import {
  AgentError,
  encodeCertificate,
  encodeCertificates,
  parseCertificates,
  parseChain,
  type Secret,
} from "../../base/index.ts";
import type { PrivateKey } from "../prepare/keys.ts";

/** A certificate from the CA, checked against the key it was asked for. */
export interface IssuedCertificate {
  /** PEM: the chain that the CA sent, the leaf first and the roots last. */
  readonly certChain: string;
  readonly key: Secret;
  /** PEM: the last element of the CA's answer. */
  readonly root: string;
  readonly leaf: X509Certificate;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** Our clock when the answer came. */
  readonly createdAtMs: number;
}

export interface Asked {
  readonly key: PrivateKey;
  /** The SPIFFE identity that the certificate must have, and no other; undefined takes any. */
  readonly identity: string | undefined;
  readonly nowMs: number;
}

/** So far clocks may be apart. */
const LARGEST_SKEW_MS = 5 * 60_000;
/** No CA means that: Istio's signs for a day, at most for 90, and its own root is for ten years. */
const MOST_LIFE_DAYS = 3_660;
const DAY_MS = 86_400_000;

/**
 * The CA's answer, if this workload can use it. Everything that is handed on is encoded from what was parsed. Throws
 * CA_ANSWER_INVALID.
 */
export function checkAnswer(chain: readonly string[], { key, identity, nowMs }: Asked): IssuedCertificate {
  const certificates = parseChain(chain.slice(0, -1).join("\n"), (reason) => {
    throw unparsable(reason);
  });
  const [leaf] = certificates;
  if (leaf === undefined) throw unparsable("it begins with no certificate");
  if (!leaf.checkPrivateKey(key.key)) throw unusable("it belongs to another key than the one we sent");
  const { notBeforeMs, notAfterMs } = checkTimes(leaf, nowMs);
  if (identity !== undefined) checkIdentity(leaf, identity);
  const last = chain.at(-1) ?? "";
  const roots = parseCertificates(last);
  if (roots.length === 0) throw unusable("the last element of its chain holds no root");
  const root = encodeCertificates(roots, last);
  const certChain = certificates.map(encodeCertificate).join("") + root;
  return { certChain, key: key.pem, root, leaf, notBeforeMs, notAfterMs, createdAtMs: nowMs };
}

function checkTimes(leaf: X509Certificate, nowMs: number): { notBeforeMs: number; notAfterMs: number } {
  const [notBeforeMs, notAfterMs] = [Date.parse(leaf.validFrom), Date.parse(leaf.validTo)];
  if (!(notBeforeMs < notAfterMs)) throw unusable(`it is valid from "${leaf.validFrom}" to "${leaf.validTo}"`);
  const ourClock = `our clock says ${iso(nowMs)}`;
  if (notAfterMs <= nowMs) throw unusable(`it ended at ${iso(notAfterMs)}, ${ourClock}`, COMPARE_CLOCKS);
  if (notBeforeMs > nowMs + LARGEST_SKEW_MS) {
    throw unusable(`it begins at ${iso(notBeforeMs)}, ${ourClock}`, COMPARE_CLOCKS);
  }
  const days = (notAfterMs - notBeforeMs) / DAY_MS;
  if (days > MOST_LIFE_DAYS) {
    throw unusable(
      `it is for ${Math.round(days)} days, until ${iso(notAfterMs)}; wanted at most ${MOST_LIFE_DAYS} days`,
    );
  }
  return { notBeforeMs, notAfterMs };
}

const COMPARE_CLOCKS = "Compare this machine's clock with the CA's";

function iso(ms: number): string {
  return new Date(ms).toISOString();
}

/** One URI name, ours: to Envoy's peers it is who we are. Names of other kinds are the CA's affair. */
function checkIdentity(leaf: X509Certificate, identity: string): void {
  const uris = uriNames(leaf.subjectAltName ?? "");
  const [uri = ""] = uris;
  if (uris.length === 1 && (uri === identity || uri === withoutAt(identity))) return;
  const found = uris.length === 0 ? "it has no identity" : `it is for another identity, "${uris.join(", ")}"`;
  const words = uris.length === 1 ? differing(uri, identity) : [];
  const which = words.length === 0 ? "" : ` (look at ${words.join(" and ")})`;
  throw unusable(
    `${found}; we asked for "${identity}"${which}`,
    "See TRUST_DOMAIN, POD_NAMESPACE and SERVICE_ACCOUNT, or take any with PILOTBOAT_ANY_IDENTITY=true",
  );
}

/** The variables by which two SPIFFE ids of Istio differ: `spiffe://DOMAIN/ns/NAMESPACE/sa/ACCOUNT`. */
function differing(one: string, other: string): string[] {
  const [found, wanted] = [one, other].map((id) => /^spiffe:\/\/([^/]+)\/ns\/([^/]+)\/sa\/([^/]+)$/.exec(id));
  if (!found || !wanted) return [];
  return ["TRUST_DOMAIN", "POD_NAMESPACE", "SERVICE_ACCOUNT"].filter((_, at) => found[at + 1] !== wanted[at + 1]);
}

/** Of Node's `DNS:a, URI:b`; what is in double quotes has characters that no SPIFFE id has. */
function uriNames(subjectAltName: string): string[] {
  const names = subjectAltName.split(/, (?=[A-Za-z0-9 ]+:)/);
  return names.filter((name) => name.startsWith("URI:")).map((name) => name.slice("URI:".length));
}

/** A trust domain with an @ has a dot there in certificates. Source: istio/istio pkg/spiffe/spiffe.go (sanitizeTrustDomain). */
function withoutAt(identity: string): string {
  return identity.replace(/^spiffe:\/\/[^/]*/, (domain) => domain.replaceAll("@", "."));
}

function unparsable(reason: string): AgentError {
  return new AgentError(
    "CA_ANSWER_INVALID",
    `failed to extract expire time from server certificate in the CA's answer: ${reason}`,
  );
}

function unusable(reason: string, hint?: string): AgentError {
  return new AgentError(
    "CA_ANSWER_INVALID",
    `Cannot use the CA's certificate: ${reason}`,
    hint === undefined ? {} : { hint },
  );
}
