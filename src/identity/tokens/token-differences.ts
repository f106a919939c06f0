import { utcTime } from "../../base/index.ts";
import type { TokenClaims } from "./jwt.ts";

/** What the agent says of itself beside the token. */
export interface AskedOfToken {
  /** `POD_NAMESPACE`, `SERVICE_ACCOUNT`; empty where they are not set, and the token alone tells. */
  readonly namespace: string;
  readonly serviceAccount: string;
  /** `ISTIO_META_CLUSTER_ID`; empty for istiod's own cluster. */
  readonly clusterId: string;
}

/** Istio's, unless istiod's `TOKEN_AUDIENCES` says otherwise. Source: istio/istio pkg/security (TokenAudiences). */
const AUDIENCE = "istio-ca";

/**
 * Why istiod may refuse this token, in one line: istiod says only that it does. What differs from what is asked for; where
 * nothing does, who has to know the token.
 */
export function explainRefusedToken(claims: TokenClaims, asked: AskedOfToken, nowMs: number): string {
  const found = tokenDifferences(claims, asked, nowMs);
  return found.length > 0 ? `the token ${found.join(", and it ")}` : mustBeKnown(claims, asked);
}

/** What of a token is other than asked for: each the rest of a sentence that begins with "the token". */
export function tokenDifferences(claims: TokenClaims, asked: AskedOfToken, nowMs: number): readonly string[] {
  const differences = [audienceTrouble(claims), accountTrouble(claims, asked), clockTrouble(claims, nowMs)];
  return differences.filter((one) => one !== undefined);
}

function audienceTrouble({ audiences }: TokenClaims): string | undefined {
  if (audiences.includes(AUDIENCE)) return undefined;
  const found = audiences.length === 0 ? "no audience" : `audience ${audiences.map(quoted).join(", ")}`;
  return `is for ${found}, and istiod wants "${AUDIENCE}" unless its TOKEN_AUDIENCES says otherwise`;
}

function accountTrouble(claims: TokenClaims, { namespace, serviceAccount }: AskedOfToken): string | undefined {
  const account = accountOf(claims);
  if (account === undefined) return `is of subject "${claims.subject}", which is no service account of Kubernetes`;
  const [ofNamespace = "", ofName = ""] = account.split("/");
  const wrong = [
    ...(namespace === "" || namespace === ofNamespace ? [] : [`POD_NAMESPACE is "${namespace}"`]),
    ...(serviceAccount === "" || serviceAccount === ofName ? [] : [`SERVICE_ACCOUNT is "${serviceAccount}"`]),
  ];
  return wrong.length === 0 ? undefined : `is of the service account "${account}", but ${wrong.join(" and ")}`;
}

function clockTrouble({ notBeforeMs }: TokenClaims, nowMs: number): string | undefined {
  if (notBeforeMs === undefined || notBeforeMs <= nowMs) return undefined;
  return `holds only from ${utcTime(notBeforeMs)} on: compare this machine's clock with the cluster's`;
}

function mustBeKnown(claims: TokenClaims, { clusterId }: AskedOfToken): string {
  const token = `the token (of "${accountOf(claims)}", from issuer "${claims.issuer}")`;
  if (clusterId === "") return `${token} must be valid to the API server of istiod's own cluster`;
  return `${token} must be valid to the API server of cluster "${clusterId}" (ISTIO_META_CLUSTER_ID), and istiod must know that cluster`;
}

const quoted = (text: string): string => `"${text}"`;

/** `namespace/name` of a Kubernetes account; undefined for another subject. */
function accountOf({ subject }: TokenClaims): string | undefined {
  const [, namespace, name] = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(subject) ?? [];
  return namespace === undefined ? undefined : `${namespace}/${name}`;
}
