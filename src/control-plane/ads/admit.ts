import { Code } from "../../grpc/index.ts";
import type { Node } from "../../proto/gen/envoy/config/core/v3/base_pb.ts";
import { type Authentication, authenticate, type Caller } from "../callers/authenticate.ts";
import type { TokenIssuer } from "../callers/tokens.ts";
import { namespaceOf } from "./snapshot.ts";

export interface Admission {
  readonly tokens: TokenIssuer;
  readonly trustDomain: string;
}

/** Why a stream is refused: a gRPC status. */
export interface Refusal {
  readonly code: number;
  readonly details: string;
}

/**
 * Whether a caller may speak for `node`; undefined means yes. Source: istio/istio pilot/pkg/xds/auth.go.
 * Unlike istiod, which serves plaintext callers too, a caller without an identity is not served.
 */
export async function refusalOf(caller: Caller, node: Node, admission: Admission): Promise<Refusal | undefined> {
  const found = await authenticate(caller, admission.tokens, admission.trustDomain);
  if (!found.ok) return { code: Code.UNAUTHENTICATED, details: `authentication failure: ${found.reason}` };
  const namespace = namespaceOf(node);
  const account = typeof node.metadata?.SERVICE_ACCOUNT === "string" ? node.metadata.SERVICE_ACCOUNT : "";
  if (found.identities.some((identity) => speaksFor(identity, namespace, account))) return undefined;
  const details = `authorization failed: no identities (${found.identities.join()}) matched ${namespace}/${account}`;
  return { code: Code.PERMISSION_DENIED, details: `${details}${whoIsProven(found)}` };
}

/** What istiod does not say: which of the two to change, and where. */
function whoIsProven({ identities, by }: Extract<Authentication, { ok: true }>): string {
  const [, namespace, account] = WORKLOAD.exec(identities[0] ?? "") ?? [];
  if (namespace === undefined) return "";
  return `: the ${by} is for ${namespace}/${account}, see POD_NAMESPACE and SERVICE_ACCOUNT`;
}

const WORKLOAD = /^spiffe:\/\/[^/]+\/ns\/([^/]+)\/sa\/([^/]+)$/;

/** A node that names no namespace or no account may have any. */
function speaksFor(identity: string, namespace: string, account: string): boolean {
  const [, provenNamespace, provenAccount] = WORKLOAD.exec(identity) ?? [];
  if (provenNamespace === undefined) return false;
  return (namespace === "" || namespace === provenNamespace) && (account === "" || account === provenAccount);
}
