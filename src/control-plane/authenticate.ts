import type { Metadata } from "@grpc/grpc-js";
import type { TokenIssuer } from "./tokens.ts";

export type Authentication =
  | { readonly ok: true; readonly identity: string }
  | { readonly ok: false; readonly reason: string };

/**
 * Who calls, by the bearer token of the call; the answer is a SPIFFE URI. Client certificates are not asked for.
 * Source: istio/istio security/pkg/server/ca/authenticate.
 */
export async function authenticate(
  metadata: Metadata,
  tokens: TokenIssuer,
  trustDomain: string,
): Promise<Authentication> {
  const header = String(metadata.get("authorization")[0] ?? "");
  if (!header.startsWith("Bearer ")) return { ok: false, reason: "there is no token" };
  const workload = await tokens.check(header.slice("Bearer ".length));
  if (typeof workload === "string") return { ok: false, reason: `the token is refused: ${workload}` };
  const domain = trustDomain.replaceAll("@", ".");
  return { ok: true, identity: `spiffe://${domain}/ns/${workload.namespace}/sa/${workload.serviceAccount}` };
}
