import type { KeySource } from "../prepare/keys.ts";
import type { CaClient } from "./ca-client.ts";
import { checkAnswer, type IssuedCertificate } from "./check-answer.ts";
import { createCsr } from "./csr.ts";

export type { IssuedCertificate };

export interface IssueParts {
  readonly ca: CaClient;
  readonly keys: KeySource;
  /** The SPIFFE identity to ask for. */
  readonly identity: string;
  /** Whether a certificate for another one is taken. Default: it is refused. */
  readonly isAnyIdentityTaken?: boolean;
  readonly now: () => number;
}

/** A new key, a request, the CA's answer. Rejects as `CaClient.sign` does, and with CA_ANSWER_INVALID. */
export async function issueCertificate(parts: IssueParts, signal: AbortSignal): Promise<IssuedCertificate> {
  const key = await parts.keys.next(signal);
  const chain = await parts.ca.sign(createCsr(key.key, parts.identity), signal);
  const wanted = parts.isAnyIdentityTaken === true ? undefined : parts.identity;
  return checkAnswer(chain, { key, identity: wanted, nowMs: parts.now() });
}
