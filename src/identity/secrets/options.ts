import type { Clock, Logger, Metrics } from "../../base/index.ts";
import type { ToldReasons } from "../../grpc/index.ts";
import type { CaClientOptions } from "../ca/ca-client.ts";
import type { KeySource } from "../prepare/keys.ts";
import type { CertificateFiles } from "../prepare/paths.ts";
import type { Tokens } from "../tokens/tokens.ts";
import type { WantedIdentity } from "./issuer.ts";
import type { OutputOptions } from "./output.ts";
import type { SecretItem } from "./secret-item.ts";
import type { IdentityStatus } from "./status.ts";

export interface SecretsOptions {
  /** Relative paths start here. */
  readonly cwd: string;
  /** Signs certificates; undefined when they only come from files. */
  readonly ca: Omit<CaClientOptions, "tokens"> | undefined;
  /** What others tell of the same control plane, when it cannot be reached. Default: nothing. */
  readonly told?: ToldReasons;
  /** Where private keys come from; see `startKeyGeneration`. */
  readonly keys: KeySource;
  /** `TRUST_DOMAIN`, `POD_NAMESPACE`, `SERVICE_ACCOUNT`. */
  readonly identity: WantedIdentity;
  /** Files that, when they are there, come before the CA; `PATHS.mounted` unless detected otherwise. */
  readonly files: CertificateFiles;
  /** `OUTPUT_CERTS`; undefined for none. */
  readonly output: OutputOptions | undefined;
  /** Revocation list that goes with the roots once it exists; undefined for none. */
  readonly crlFile: string | undefined;
  /** `SECRET_GRACE_PERIOD_RATIO` and `..._JITTER`. */
  readonly rotation: { readonly ratio: number; readonly jitter: number };
  /** `FILE_DEBOUNCE_DURATION`. Default 100 ms. */
  readonly debounceMs?: number;
  readonly tokens: Tokens;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly clock?: Clock;
  readonly random?: () => number;
}

/** Everything that Envoy can ask for by name, always as fresh as its source. */
export interface Secrets extends AsyncDisposable {
  /**
   * The secret of that name now. Rejects with SECRET_UNKNOWN, SECRET_UNAVAILABLE, FILE_UNREADABLE,
   * SECRET_FILE_INVALID, or as the CA client does.
   */
  get(name: string): Promise<SecretItem>;
  /** Calls `listener` whenever `get(name)` would give something new. Files are watched while anyone listens. */
  subscribe(name: string, listener: () => void): () => void;
  /** Roots that the control plane adds to the workload's own (PEM). */
  setExtraRoots(roots: readonly string[]): void;
  status(): IdentityStatus;
}
