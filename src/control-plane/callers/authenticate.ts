import type { IncomingHttpHeaders } from "node:http2";
import type { Socket } from "node:net";
import { type PeerCertificate, TLSSocket } from "node:tls";
import type { ServerStream } from "../../grpc-stream/index.ts";
import type { TokenIssuer } from "./tokens.ts";

/** A caller with its SPIFFE ids, or the reason why its identity is unknown. */
export type Authentication =
  | { readonly ok: true; readonly identities: readonly string[]; readonly by: "certificate" | "token" }
  | { readonly ok: false; readonly reason: string };

/** The part of a gRPC call that tells who calls. */
export type Caller = Pick<ServerStream, "headers" | "connection">;

/**
 * The caller's identity: from a client certificate that our roots vouch for, else from the bearer token.
 * Source: istio/istio security/pkg/server/ca/authenticate.
 */
export async function authenticate(caller: Caller, tokens: TokenIssuer, trustDomain: string): Promise<Authentication> {
  const certificate = clientCertificate(caller.connection);
  if (certificate !== undefined) {
    const uris = uriNames(certificate.subjectaltname ?? "");
    const [uri = ""] = uris;
    if (uris.length === 1 && uri.startsWith("spiffe://")) return { ok: true, identities: uris, by: "certificate" };
    if (!hasToken(caller.headers)) {
      return { ok: false, reason: `the client certificate has ${uris.length} URI names, wanted one SPIFFE id` };
    }
  }
  return authenticateToken(caller.headers, tokens, trustDomain);
}

/** One that our roots vouch for. */
function clientCertificate(connection: Socket): PeerCertificate | undefined {
  if (!(connection instanceof TLSSocket) || !connection.authorized) return undefined;
  const certificate = connection.getPeerCertificate();
  return certificate.raw === undefined ? undefined : certificate; // an empty object stands for none
}

async function authenticateToken(
  headers: IncomingHttpHeaders,
  tokens: TokenIssuer,
  trustDomain: string,
): Promise<Authentication> {
  if (!hasToken(headers))
    return { ok: false, reason: "the caller has neither a client certificate of this mesh nor a token" };
  const workload = await tokens.check(String(headers.authorization).slice(SCHEME.length));
  if (typeof workload === "string") return { ok: false, reason: `the token is refused: ${workload}` };
  const domain = trustDomain.replaceAll("@", ".");
  const identity = `spiffe://${domain}/ns/${workload.namespace}/sa/${workload.serviceAccount}`;
  return { ok: true, identities: [identity], by: "token" };
}

const SCHEME = "Bearer ";

function hasToken({ authorization = "" }: IncomingHttpHeaders): boolean {
  return authorization.startsWith(SCHEME);
}

/** Of Node's `DNS:a, URI:b`; a name with a comma in it comes in double quotes and is no SPIFFE id. */
function uriNames(subjectAltName: string): string[] {
  return subjectAltName
    .split(", ")
    .filter((name) => name.startsWith("URI:"))
    .map((name) => name.slice("URI:".length));
}
