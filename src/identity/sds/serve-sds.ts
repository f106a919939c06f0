import type { BoundSocket, Logger, Metrics } from "../../base/index.ts";
import type { KeyProvider } from "./response.ts";
import type { SecretSource } from "./stream.ts";

export interface SdsOptions {
  /** Bound by the caller, who also closes it; connections that came early are served first. */
  readonly socket: BoundSocket;
  readonly secrets: SecretSource;
  /** ProxyConfig `privateKeyProvider`; undefined for keys that Envoy uses itself. */
  readonly keyProvider?: KeyProvider;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/**
 * Serves Envoy's secret discovery on the socket. Resolves when connections are taken; gRPC is loaded only here. Every
 * failure of a secret ends its stream with the reason, after which Envoy asks again.
 */
export async function serveSds(options: SdsOptions): Promise<AsyncDisposable> {
  const { startServer } = await import("./server.ts");
  return startServer(options);
}
