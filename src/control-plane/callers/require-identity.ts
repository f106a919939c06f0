import type { Logger } from "../../base/index.ts";
import { Code } from "../../grpc/index.ts";
import type { GrpcStreamServerOptions } from "../../grpc-stream/index.ts";
import { authenticate } from "./authenticate.ts";
import type { TokenIssuer } from "./tokens.ts";

export interface IdentityRequirement {
  readonly tokens: TokenIssuer;
  readonly trustDomain: string;
  readonly log: Logger;
}

/** Refuses a call without an identity, unread. What a known caller may do is for the services to say. */
export function requireIdentity(options: IdentityRequirement): NonNullable<GrpcStreamServerOptions["admit"]> {
  const { tokens, trustDomain, log } = options;
  return async (call) => {
    const found = await authenticate(call, tokens, trustDomain);
    if (found.ok) return undefined;
    const path = call.headers[":path"] ?? "";
    log.warn("Refused a call", { path, reason: found.reason });
    return { code: Code.UNAUTHENTICATED, details: `${prefixOf(path)}: ${found.reason}` };
  };
}

/** In istiod's words. Source: istio/istio security/pkg/server/ca/server.go, pilot/pkg/xds/ads.go. */
function prefixOf(path: string): string {
  return path.startsWith("/istio.v1.auth.") ? "request authenticate failure" : "authentication failure";
}
