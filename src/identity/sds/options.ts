import type { BoundSocket, Logger, Metrics } from "../../base/index.ts";
import type { KeyProvider } from "./response.ts";
import type { SecretSource } from "./stream.ts";

export interface SdsOptions {
  /** Bound by the caller, who also closes it; connections that came early are served first. */
  readonly socket: BoundSocket;
  readonly secrets: SecretSource;
  /** ProxyConfig `privateKeyProvider`; undefined for keys that Envoy uses itself. */
  readonly keyProvider?: KeyProvider;
  /** Another program answers for the workload's own secrets; only what the log says depends on it. Default false. */
  readonly isFilesOnly?: boolean;
  /** Called for each response with secrets that the transport has taken. */
  readonly onSent?: (() => void) | undefined;
  readonly log: Logger;
  readonly metrics: Metrics;
}
