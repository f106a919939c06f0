import { type Clock, describeError, type Logger, systemClock, utcTime } from "../../base/index.ts";
import {
  type ClusterCredentials,
  type CredentialsOptions,
  fetchCredentials,
  ISTIO_NAMESPACE,
  writeCredentialFiles,
} from "./cluster-credentials.ts";
import { findMeshRoot } from "./root-certificate.ts";

export interface KeepOptions extends CredentialsOptions {
  /** Run folder of the agent that reads them. */
  readonly folder: string;
  readonly log: Logger;
}

/** Credentials that are renewed until this is disposed of. The files stay. */
export interface KeptCredentials extends AsyncDisposable {
  /** What the files hold. */
  current(): ClusterCredentials;
  /** Why the last renewal failed; undefined when it did not. */
  failure(): unknown;
}

/** Of its lifetime, then a token is renewed: six hours of a usual one are left for an API server that is away. */
const RENEWAL_PART = 0.5;
/** So soon a new root is noticed; a pod's ConfigMap volume takes about a minute. */
const ROOT_CHECK_MS = 60_000;
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 60_000;
/** Timers stand still while a laptop sleeps, the wall clock does not: so it is looked at this often. */
const LOOK_MS = 15_000;

/**
 * Fetches and writes credentials, then renews both in the background. When that fails the old ones stay in the files, the
 * log says why and how long they last, and it is tried again after 1 s, doubling to a minute; after they have expired, too.
 * Rejects as `fetchCredentials` and `writeCredentialFiles` do when the first ones cannot be had.
 */
export async function keepCredentials(options: KeepOptions, stop: AbortSignal): Promise<KeptCredentials> {
  const ending = new AbortController();
  const end = AbortSignal.any([stop, ending.signal]);
  const first = await fetchCredentials(options, end);
  await writeCredentialFiles(options.folder, first);
  const keeper = new Keeper(options, first);
  const running = keeper.run(end);
  return {
    current: () => keeper.current,
    failure: () => keeper.failure,
    async [Symbol.asyncDispose]() {
      ending.abort(new Error("the credentials are no longer needed"));
      await running;
    },
  };
}

class Keeper {
  current: ClusterCredentials;
  failure: unknown;
  readonly #options: KeepOptions;
  readonly #clock: Clock;
  #failures = 0;
  #wasExpiredTold = false;
  #tokenDueMs: number;
  #rootDueMs: number;

  constructor(options: KeepOptions, first: ClusterCredentials) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.current = first;
    this.#tokenDueMs = this.#halfWay();
    this.#rootDueMs = this.#clock.now() + ROOT_CHECK_MS;
  }

  /** Until `end` aborts. Never rejects. */
  async run(end: AbortSignal): Promise<void> {
    while (!end.aborted) {
      const leftMs = Math.min(this.#tokenDueMs, this.#rootDueMs) - this.#clock.now();
      if (leftMs > 0)
        await this.#clock.sleep(Math.min(leftMs, LOOK_MS), end).catch(() => undefined); // the loop asks
      else await this.#renew(end);
    }
  }

  async #renew(end: AbortSignal): Promise<void> {
    const isTokenDue = this.#tokenDueMs <= this.#clock.now();
    try {
      const next = isTokenDue ? await fetchCredentials(this.#options, end) : await this.#withRoot(end);
      const isNew = isTokenDue || next.root.pem !== this.current.root.pem;
      if (isNew) await writeCredentialFiles(this.#options.folder, next);
      if (!isTokenDue && isNew) this.#options.log.info("The mesh has a new root certificate", { from: next.root.from });
      this.current = next;
      this.#succeeded(isTokenDue);
    } catch (failure) {
      if (!end.aborted) this.#failed(failure, isTokenDue);
    }
  }

  async #withRoot(end: AbortSignal): Promise<ClusterCredentials> {
    const { cluster, namespace, istioNamespace = ISTIO_NAMESPACE } = this.#options;
    return { ...this.current, root: await findMeshRoot(cluster, { namespace, istioNamespace }, end) };
  }

  #succeeded(isToken: boolean): void {
    const now = this.#clock.now();
    if (isToken) this.#tokenDueMs = this.#halfWay();
    this.#rootDueMs = now + ROOT_CHECK_MS;
    const fields = { until: utcTime(this.current.expiresAtMs) };
    if (this.#failures > 0)
      this.#options.log.info("Credentials are renewed again", { ...fields, failures: this.#failures });
    else if (isToken) this.#options.log.info("Credentials are renewed", fields);
    this.failure = undefined;
    this.#failures = 0;
    this.#wasExpiredTold = false;
  }

  #failed(failure: unknown, isToken: boolean): void {
    const { log } = this.#options;
    const now = this.#clock.now();
    const error = describeError(failure);
    const leftSeconds = Math.round((this.current.expiresAtMs - now) / 1_000);
    this.failure = failure;
    if (leftSeconds <= 0 && !this.#wasExpiredTold) {
      log.error("The token has expired, and there is no new one: istiod will refuse this agent", { error });
      this.#wasExpiredTold = true;
    } else if (this.#failures === 0) {
      log.warn("Cannot renew the credentials, the old ones stay", { error, tokenLeftSeconds: leftSeconds });
    }
    const retryMs = now + Math.min(FIRST_RETRY_MS * 2 ** this.#failures, LAST_RETRY_MS);
    this.#failures++;
    if (isToken) this.#tokenDueMs = retryMs;
    this.#rootDueMs = retryMs;
  }

  #halfWay(): number {
    const now = this.#clock.now();
    return now + (this.current.expiresAtMs - now) * RENEWAL_PART;
  }
}
