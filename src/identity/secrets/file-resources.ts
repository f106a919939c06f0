import type { Clock, Logger, Metrics } from "../../base/index.ts";
import { type FileResource, watchFileResource } from "./file-resource.ts";
import { FILE_CERT_EXPIRY } from "./metrics.ts";
import type { FileSource } from "./read-files.ts";
import type { SecretItem } from "./secret-item.ts";
import type { FileStatus } from "./status.ts";

export interface FileResourcesOptions {
  readonly onChange: (name: string) => void;
  readonly debounceMs: number;
  readonly stop: AbortSignal;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly clock: Clock;
}

/** The file secrets that have listeners, by name; each is watched once, and only while it is wanted. */
export class FileResources implements AsyncDisposable {
  readonly #options: FileResourcesOptions;
  readonly #resources = new Map<string, FileResource>();

  constructor(options: FileResourcesOptions) {
    this.#options = options;
  }

  /** Starts watching, unless that is done already. */
  want(name: string, source: FileSource): FileResource {
    const existing = this.#resources.get(name);
    if (existing !== undefined) return existing;
    const { onChange, ...parts } = this.#options;
    const resource = watchFileResource({ name, source, ...parts, onChange: () => onChange(name) });
    this.#resources.set(name, resource);
    const secondsLeft = (): number | undefined => {
      const item = this.lastGood(name);
      return item?.kind === "certificate" ? (item.notAfterMs - parts.clock.now()) / 1_000 : undefined;
    };
    if (source.kind === "certificate") {
      parts.metrics.gauge(FILE_CERT_EXPIRY, secondsLeft, { resource_name: name });
    }
    return resource;
  }

  /** Stops watching. */
  async forget(name: string): Promise<void> {
    const resource = this.#resources.get(name);
    this.#resources.delete(name);
    await resource?.[Symbol.asyncDispose]();
  }

  /** The secret now; a name without listeners is read once and not watched. */
  async get(name: string, source: FileSource): Promise<SecretItem> {
    const wanted = this.#resources.get(name);
    if (wanted !== undefined) return wanted.get(this.#options.stop);
    await using once = watchFileResource({ name, source, ...this.#options, onChange: () => undefined });
    return await once.get(this.#options.stop);
  }

  /** What was read well last under that name. */
  lastGood(name: string): SecretItem | undefined {
    return this.#resources.get(name)?.lastGood;
  }

  status(): FileStatus[] {
    return [...this.#resources].map(([name, { problem, lastGood }]) => ({
      name,
      problem,
      isServed: lastGood !== undefined,
    }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#resources.keys()].map((name) => this.forget(name)));
  }
}
