import type { X509Certificate } from "node:crypto";
import {
  AgentError,
  encodeCertificate,
  encodeCertificates,
  parseCertificates,
  parseChain,
  type Secret,
} from "../../base/index.ts";
import type { KeySource, PrivateKey } from "../prepare/keys.ts";
import type { CaClient } from "./ca-client.ts";
import { createCsr } from "./csr.ts";

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

export interface IssueParts {
  readonly ca: CaClient;
  readonly keys: KeySource;
  /** The SPIFFE identity to ask for. */
  readonly identity: string;
  readonly now: () => number;
}

/** A new key, a request, the CA's answer. Rejects as `CaClient.sign` does, and with CA_ANSWER_INVALID. */
export async function issueCertificate(parts: IssueParts, signal: AbortSignal): Promise<IssuedCertificate> {
  const key = await parts.keys.next();
  const chain = await parts.ca.sign(createCsr(key.key, parts.identity), signal);
  return checkAnswer(chain, key, parts.now());
}

/** Everything that is handed on is encoded from what was parsed. */
function checkAnswer(chain: readonly string[], key: PrivateKey, nowMs: number): IssuedCertificate {
  const certificates = parseChain(chain.slice(0, -1).join("\n"), (reason) => {
    throw unparsable(reason);
  });
  const [leaf] = certificates;
  if (leaf === undefined) throw unparsable("it begins with no certificate");
  const notBeforeMs = Date.parse(leaf.validFrom);
  const notAfterMs = Date.parse(leaf.validTo);
  if (!leaf.checkPrivateKey(key.key)) throw unusable("it belongs to another key than the one we sent");
  if (notAfterMs <= nowMs) {
    const [end, now] = [notAfterMs, nowMs].map((ms) => new Date(ms).toISOString());
    throw unusable(`it ended at ${end}, our clock says ${now}`, "Compare this machine's clock with the CA's");
  }
  const last = chain.at(-1) ?? "";
  const roots = parseCertificates(last);
  if (roots.length === 0) throw unusable("the last element of its chain holds no root");
  const root = encodeCertificates(roots, last);
  const certChain = certificates.map(encodeCertificate).join("") + root;
  return { certChain, key: key.pem, root, leaf, notBeforeMs, notAfterMs, createdAtMs: nowMs };
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
