/** What one stream watches, and the nonce of the last response it was sent. */
export interface Subscription {
  readonly names: readonly string[];
  /** Empty until the first response. */
  readonly nonce: string;
}

/** The parts of a DiscoveryRequest that count here. */
export interface Request {
  readonly names: readonly string[];
  readonly responseNonce: string;
  /** Envoy's reason for refusing the last response; undefined when it did not. */
  readonly rejection: string | undefined;
}

export type Decision =
  | { readonly kind: "answer"; readonly names: readonly string[]; readonly subscription: Subscription }
  | { readonly kind: "quiet"; readonly subscription: Subscription | undefined }
  | { readonly kind: "rejected"; readonly reason: string }
  | { readonly kind: "stale" };

/**
 * What to do about a request, in Istio's order: refusals never change anything, no names ends the watch, a request
 * without a watch or nonce is answered whole, a nonce of another response is too old, and otherwise only added names
 * are answered. Source: istio/istio pkg/xds/server.go (ShouldRespond).
 */
export function decide(current: Subscription | undefined, request: Request): Decision {
  const { names, responseNonce, rejection } = request;
  if (rejection !== undefined) return { kind: "rejected", reason: rejection };
  if (names.length === 0) return { kind: "quiet", subscription: undefined };
  if (current === undefined || responseNonce === "") {
    return { kind: "answer", names, subscription: { names, nonce: current?.nonce ?? "" } };
  }
  if (responseNonce !== current.nonce) return { kind: "stale" };
  const subscription = { names, nonce: current.nonce };
  const added = names.filter((name) => !current.names.includes(name));
  return added.length === 0 ? { kind: "quiet", subscription } : { kind: "answer", names: added, subscription };
}
