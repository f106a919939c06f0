import * as grpc from "@grpc/grpc-js";
import { describeError, type Logger } from "../../base/index.ts";
import { type Caller, Code } from "../../grpc/index.ts";
import { authenticate } from "./authenticate.ts";
import type { TokenIssuer } from "./tokens.ts";

export interface AuthenticatingOptions {
  readonly tokens: TokenIssuer;
  readonly trustDomain: string;
  readonly log: Logger;
  /** Hears of each call whose caller is known. */
  readonly onKnown: (call: Caller) => void;
}

/**
 * Refuses a call without an identity before a byte of its message is read: gRPC reads only what is asked for, and until the
 * caller is known nothing is. What a known caller may do is for the services to say.
 */
export function authenticating({ tokens, trustDomain, log, onKnown }: AuthenticatingOptions): grpc.ServerInterceptor {
  return ({ path }, call) => {
    const refuse = (code: grpc.status, reason: string): void => {
      log.warn("Refused a call", { path, reason });
      call.sendStatus({ code, details: `${prefixOf(path)}: ${reason}` });
    };
    return new grpc.ServerInterceptingCall(call, {
      start(next) {
        next({
          onReceiveMetadata(metadata, pass) {
            authenticate({ metadata, getAuthContext: () => call.getAuthContext() }, tokens, trustDomain).then(
              (found) => {
                if (!found.ok) return refuse(Code.UNAUTHENTICATED, found.reason);
                onKnown(call);
                pass(metadata);
              },
              (error: unknown) => refuse(Code.INTERNAL, describeError(error)),
            );
          },
        });
      },
    });
  };
}

/** In istiod's words. Source: istio/istio security/pkg/server/ca/server.go, pilot/pkg/xds/ads.go. */
function prefixOf(path: string): string {
  return path.startsWith("/istio.v1.auth.") ? "request authenticate failure" : "authentication failure";
}
