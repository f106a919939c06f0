import { X509Certificate } from "node:crypto";
import { AgentError, type Secret } from "../../base/index.ts";
import type { KeySource, PrivateKey } from "../prepare/keys.ts";
import { joinPem, parseCertificates } from "../secrets/pem.ts";
import type { CaClient } from "./ca-client.ts";
import { createCsr } from "./csr.ts";

/** A certificate from the CA, checked against the key it was asked for. */
export interface IssuedCertificate {
  /** PEM: everything the CA sent, the leaf first. */
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

function checkAnswer(chain: readonly string[], key: PrivateKey, nowMs: number): IssuedCertificate {
  const leaf = parseLeaf(chain[0] ?? "");
  const notBeforeMs = Date.parse(leaf.validFrom);
  const notAfterMs = Date.parse(leaf.validTo);
  if (!leaf.checkPrivateKey(key.key)) {
    throw new AgentError(
      "CA_ANSWER_INVALID",
      "Cannot use the CA's certificate: it belongs to another key than the one we sent",
    );
  }
  if (notAfterMs <= nowMs) {
    throw new AgentError(
      "CA_ANSWER_INVALID",
      `Cannot use the CA's certificate: it ended at ${new Date(notAfterMs).toISOString()}, our clock says ${new Date(nowMs).toISOString()}`,
      { hint: "Compare this machine's clock with the CA's" },
    );
  }
  const root = chain.at(-1) ?? "";
  if (parseCertificates(root).length === 0) {
    throw new AgentError(
      "CA_ANSWER_INVALID",
      "Cannot use the CA's certificate: the last element of its chain holds no root",
    );
  }
  return { certChain: joinPem(chain), key: key.pem, root, leaf, notBeforeMs, notAfterMs, createdAtMs: nowMs };
}

function parseLeaf(pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (error) {
    throw new AgentError(
      "CA_ANSWER_INVALID",
      "failed to extract expire time from server certificate in the CA's answer",
      {
        cause: error,
      },
    );
  }
}
