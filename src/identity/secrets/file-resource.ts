import { type Clock, describeError, type Logger, type Metrics, retry, watchPaths } from "../../base/index.ts";
import { FILE_SECRET_FAILURES, FILE_WATCHER_FAILURES } from "./metrics.ts";
import { type FileSource, readFileSecret } from "./read-files.ts";
import { isSameItem, type SecretItem } from "./secret-item.ts";

export interface FileResourceOptions {
  readonly name: string;
  readonly source: FileSource;
  /** The file holds other, valid content than before. */
  readonly onChange: () => void;
  /** `FILE_DEBOUNCE_DURATION`: quiet time after events, and first wait between reads that fail. */
  readonly debounceMs: number;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly clock: Clock;
}

/** A secret that comes from files: what was read well last stays in use while the files are missing or half written. */
export interface FileResource extends AsyncDisposable {
  /** Resolves when the watch is in place: what is found on the disk from then on cannot change unseen. */
  watched(): Promise<void>;
  /** Reads the files now. Without a good version yet, tries for ten seconds, then rejects as `readFileSecret` does. */
  get(stop: AbortSignal): Promise<SecretItem>;
  readonly lastGood: SecretItem | undefined;
  /** Why the files cannot be used as they are now. */
  readonly problem: string | undefined;
}

/** Source: istio/istio security/pkg/nodeagent/cache/secretcache.go (totalTimeout of file reads). */
const PATIENCE_MS = 10_000;
const LEAST_WAIT_MS = 10;

export function watchFileResource(options: FileResourceOptions): FileResource {
  return new WatchedFileResource(options);
}

class WatchedFileResource implements FileResource {
  readonly #options: FileResourceOptions;
  readonly #watching: Promise<AsyncDisposable>;
  lastGood: SecretItem | undefined;
  problem: string | undefined;

  constructor(options: FileResourceOptions) {
    this.#options = options;
    this.#watching = this.#watch();
    this.#watching.catch(() => undefined); // watchPaths reports trouble through onTrouble and does not reject
  }

  async watched(): Promise<void> {
    await this.#watching;
  }

  async get(stop: AbortSignal): Promise<SecretItem> {
    await this.#watching; // so that no change between this read and the watch goes unseen
    const { clock, debounceMs } = this.#options;
    const giveUpAtMs = clock.now() + PATIENCE_MS;
    return retry(() => this.#read(), {
      backoff: { initialMs: Math.max(debounceMs, LEAST_WAIT_MS), factor: 1.5, maxMs: 5_000, jitter: 0.5 },
      clock,
      signal: stop,
      isRetryable: () => clock.now() < giveUpAtMs,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await (await this.#watching)[Symbol.asyncDispose]();
  }

  async #read(): Promise<SecretItem> {
    const { name, source, log } = this.#options;
    try {
      const item = await readFileSecret(name, source, log.scope("cache"));
      this.#accept(item);
      return item;
    } catch (error) {
      this.#refuse(error);
      if (this.lastGood !== undefined) return this.lastGood;
      throw error;
    }
  }

  #accept(item: SecretItem): void {
    if (this.problem !== undefined)
      this.#options.log.scope("cache").info("file is usable again", { resource: item.name });
    this.problem = undefined;
    if (this.lastGood === undefined) this.#noteWatch();
    if (this.lastGood === undefined || !isSameItem(this.lastGood, item)) {
      this.#options.log.scope("cache").info("read certificate from file", { resource: item.name });
    }
    this.lastGood = item;
  }

  /** The folders were watched from the start; a file that is there now is what operators look for in the log. */
  #noteWatch(): void {
    const { name, source, log } = this.#options;
    log.scope("cache").info("adding watcher for file certificate", { resource: name, files: pathsOf(source).join() });
  }

  #refuse(error: unknown): void {
    const problem = describeError(error);
    if (problem === this.problem) return;
    this.problem = problem;
    const { name, log, metrics } = this.#options;
    metrics.count(FILE_SECRET_FAILURES);
    log.scope("cache").error("failed to generate secret for proxy from file", {
      resource: name,
      error: problem,
      served: this.lastGood === undefined ? "nothing" : "last good version",
    });
  }

  #watch(): Promise<AsyncDisposable> {
    const { source, log, metrics, debounceMs } = this.#options;
    const paths = pathsOf(source);
    return watchPaths({
      paths,
      debounceMs: Math.max(debounceMs, LEAST_WAIT_MS),
      onChange: () => void this.#onEvent(), // reads only; its failures are noted in `problem`
      onTrouble: (error) => {
        metrics.count(FILE_WATCHER_FAILURES);
        log.scope("cache").error("error adding watcher for file, polling instead", {
          files: paths.join(),
          error: describeError(error),
          hint: "raise fs.inotify.max_user_watches and max_user_instances",
        });
      },
    });
  }

  async #onEvent(): Promise<void> {
    const before = this.lastGood;
    const now = await this.#read().catch(() => undefined);
    if (now === undefined || (before !== undefined && isSameItem(before, now))) return;
    this.#options.log.scope("cache").info("event for file certificate, pushing to proxy", { resource: now.name });
    this.#options.onChange();
  }
}

function pathsOf(source: FileSource): string[] {
  return source.kind === "roots" ? [source.path] : [source.certChain, source.key];
}
