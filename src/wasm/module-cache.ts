import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { describeError, type Logger, type Metrics, startLimit, systemClock, type Transport } from "../base/index.ts";
import { download } from "./download.ts";
import type { PullWords } from "./extension.ts";
import { type ImageSource, moduleLayer, type WasmImage } from "./image.ts";
import { ENTRIES, FETCHES, LOOKUPS } from "./metrics.ts";
import { ModuleFiles, type StagedModule, type StoredModule } from "./module-files.ts";
import { type ModulePlace, parseModuleUrl, shownUrl } from "./module-url.ts";
import { SharedWork } from "./shared-work.ts";
import { pluginOfLayer, TooLarge } from "./unpack.ts";

export interface ModuleCacheOptions {
  /** Absolute; made when the first module is written. */
  readonly folder: string;
  readonly transport: Transport;
  readonly images: ImageSource;
  /** Of one attempt over HTTP. */
  readonly requestTimeoutMs: number;
  /** Attempts over HTTP in all. */
  readonly attempts: number;
  readonly mostBytes: number;
  /** How long a module that nobody asks for is kept, and how often that is looked at. */
  readonly expiryMs: number;
  readonly purgeIntervalMs: number;
  /** Whether Envoy has been sent to a file: it is not removed then. */
  readonly isInUse: (file: string) => boolean;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** A module, as an extension configuration asks for it. */
export interface ModuleWish {
  readonly url: string;
  /** Hexadecimal; empty for any. */
  readonly checksum: string;
  /** Name of the extension configuration. */
  readonly resource: string;
  readonly pull: PullWords;
  /** Of everything. */
  readonly timeoutMs: number;
}

/**
 * Modules that were fetched, on disk. What a URL without a checksum stands for is remembered, also by the next agent in the
 * same folder, until the pull policy wants it asked for again. Source: istio/istio pkg/wasm/cache.go.
 */
export class ModuleCache implements AsyncDisposable {
  readonly #options: ModuleCacheOptions;
  readonly #files: ModuleFiles;
  readonly #fetching = new SharedWork<FetchedModule>();
  readonly #over = new AbortController();
  readonly #purging: Promise<void>;
  /** Of URLs: one record is changed at a time. */
  readonly #remembering = new Map<string, Promise<void>>();
  #entries = 0;

  constructor(options: ModuleCacheOptions) {
    this.#options = options;
    this.#files = new ModuleFiles(options.folder);
    this.#purging = this.#keepPurging();
    options.metrics.gauge(ENTRIES, () => this.#entries);
  }

  /** The file of a module. Rejects with an Error in Istio's words, FILE_UNWRITABLE, or the reason of `stop`. */
  async get(wish: ModuleWish, stop: AbortSignal): Promise<string> {
    const { url, timeoutMs, pull } = wish;
    const place = parseModuleUrl(url);
    const wanted = wish.checksum.toLowerCase() || place.digest;
    const known = await this.#lookUp(place, wanted, wish);
    if (known !== undefined) return known.file;
    using limit = startLimit(stop, timeoutMs, () => new Error(`there is no module after ${timeoutMs} ms`));
    const key = [url, wanted, pull.secret === undefined ? "" : hashOf(pull.secret)].join("\n");
    const { module, checksum } = await this.#fetching.run(key, limit.signal, (over) =>
      this.#fetch(place, wanted, pull, over),
    );
    await this.#remember(place, checksum, wish);
    return module.file;
  }

  async #lookUp(place: ModulePlace, wanted: string, wish: ModuleWish): Promise<StoredModule | undefined> {
    const { name, url } = place;
    const checksum = wanted || (await this.#rememberedFor(place, wish));
    const found = checksum === undefined ? undefined : await this.#files.find(name, checksum);
    this.#options.metrics.count(LOOKUPS, { hit: String(found !== undefined) });
    if (found === undefined || checksum === undefined) return undefined;
    await this.#remember(place, checksum, wish);
    this.#options.log.debug("Wasm module is in the cache", { url: shownUrl(url), file: found.file });
    return found;
  }

  /** What the URL stood for, where the pull policy lets that count. */
  async #rememberedFor(place: ModulePlace, { resource, pull }: ModuleWish): Promise<string | undefined> {
    const record = await this.#files.readUrl(place.name, place.url);
    if (record === undefined) return undefined;
    const isAnyVersion = pull.policy === "if not present" || (pull.policy === "unspecified" && !place.isLatest);
    return isAnyVersion || record.versions[resource] === pull.version ? record.checksum : undefined;
  }

  /** For the next time that the URL is asked for. A full disk then only costs another download. */
  async #remember(place: ModulePlace, checksum: string, wish: ModuleWish): Promise<void> {
    const { url, digest } = place;
    if (digest !== "") return; // it says what it stands for
    const before = this.#remembering.get(url) ?? Promise.resolve();
    const mine = before.then(() => this.#changeRecord(place, checksum, wish));
    this.#remembering.set(url, mine);
    await mine;
    if (this.#remembering.get(url) === mine) this.#remembering.delete(url);
  }

  /** Never rejects. */
  async #changeRecord({ name, url }: ModulePlace, checksum: string, { resource, pull }: ModuleWish): Promise<void> {
    const record = await this.#files.readUrl(name, url);
    if (record?.checksum === checksum && record.versions[resource] === pull.version) return;
    const versions = { ...record?.versions, [resource]: pull.version };
    await this.#files.writeUrl(name, url, { checksum, versions }).catch((error: unknown) => {
      this.#options.log.warn("cannot remember what the URL of a Wasm module stands for", {
        reason: describeError(error),
      });
    });
  }

  async #fetch(place: ModulePlace, wanted: string, pull: PullWords, stop: AbortSignal): Promise<FetchedModule> {
    const shown = shownUrl(place.url);
    this.#options.log.info("fetching Wasm module", { url: shown });
    const startMs = Date.now();
    const fetched =
      place.kind === "http"
        ? await this.#overHttp(place, wanted, stop)
        : await this.#outOfImage(place, wanted, pull, stop);
    this.#options.log.info("Wasm module is there", {
      url: shown,
      file: fetched.module.file,
      tookMs: Date.now() - startMs,
    });
    return fetched;
  }

  async #overHttp(place: ModulePlace, wanted: string, stop: AbortSignal): Promise<FetchedModule> {
    const { transport, attempts, mostBytes, requestTimeoutMs: timeoutMs } = this.#options;
    const words = { transport, attempts, mostBytes, timeoutMs };
    const stage = (pieces: AsyncIterable<Uint8Array>): Promise<StagedModule> => this.#files.stage(place.name, pieces);
    const staged = await download(place.url, words, stage, stop).catch((error: unknown) => {
      throw this.#failure("download_failure", error);
    });
    try {
      if (wanted !== "" && wanted !== staged.sha256) throw this.#mismatch(place, staged.sha256, wanted);
      return await this.#keep(place, staged, staged.sha256);
    } finally {
      await staged.discard();
    }
  }

  async #outOfImage(place: ModulePlace, wanted: string, pull: PullWords, stop: AbortSignal): Promise<FetchedModule> {
    const { images } = this.#options;
    const image = await images.resolve(place.reference, pull.secret, stop).catch((error: unknown) => {
      throw this.#failure("manifest_failure", new Error("could not fetch Wasm OCI image", { cause: error }));
    });
    const [digest = ""] = image.digests;
    if (wanted !== "" && !image.digests.some((one) => hexOf(one) === wanted)) {
      throw this.#mismatch(place, hexOf(digest), wanted);
    }
    const checksum = wanted || hexOf(digest);
    const known = await this.#files.find(place.name, checksum);
    if (known !== undefined) return { module: known, checksum };
    const staged = await this.#stageLayer(place, image, stop).catch((error: unknown) => {
      throw this.#failure("download_failure", new Error("could not fetch Wasm binary", { cause: error }));
    });
    try {
      return await this.#keep(place, staged, checksum);
    } finally {
      await staged.discard();
    }
  }

  /** The layer is on disk, and verified, before it is read. */
  async #stageLayer(place: ModulePlace, image: WasmImage, stop: AbortSignal): Promise<StagedModule> {
    const { mostBytes } = this.#options;
    const { layer, isArchive } = moduleLayer(image);
    if (layer.size > mostBytes) throw new TooLarge(mostBytes);
    await using scratch = await this.#files.scratch(place.name);
    await image.save(layer, scratch.path, stop);
    const pieces = createReadStream(scratch.path);
    return await this.#files.stage(place.name, isArchive ? pluginOfLayer(pieces, mostBytes) : pieces);
  }

  async #keep({ url }: ModulePlace, staged: StagedModule, checksum: string): Promise<FetchedModule> {
    if (staged.flaw !== undefined) {
      throw this.#failure(
        "fetch_failure",
        new Error(`fetched Wasm binary from ${shownUrl(url)} is invalid: ${staged.flaw}`),
      );
    }
    const module = await staged.commit(checksum);
    this.#entries++;
    this.#options.metrics.count(FETCHES, { result: "success" });
    return { module, checksum };
  }

  #mismatch({ url }: ModulePlace, found: string, wanted: string): unknown {
    const text = `module downloaded from ${shownUrl(url)} has checksum ${found}, which does not match: ${wanted}`;
    return this.#failure("checksum_mismatched", new Error(text));
  }

  #failure(result: string, error: unknown): unknown {
    this.#options.metrics.count(FETCHES, { result });
    return error;
  }

  /** The first time after an interval: until then an Envoy that has just started may not have asked for its modules. */
  async #keepPurging(): Promise<void> {
    const { expiryMs, purgeIntervalMs, isInUse, log } = this.#options;
    const { signal } = this.#over;
    while (!signal.aborted) {
      await systemClock.sleep(purgeIntervalMs, signal).catch(() => undefined);
      if (signal.aborted) return;
      try {
        this.#entries = await this.#files.purge(expiryMs, isInUse);
      } catch (error) {
        log.error("cannot remove Wasm modules that nobody uses", { reason: describeError(error) });
      }
    }
  }

  /** Ends what is being fetched, and waits until nothing of it is left on disk. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort(new Error("the agent stops"));
    await Promise.all([this.#purging, this.#fetching.close(this.#over.signal.reason)]);
  }
}

interface FetchedModule {
  readonly module: StoredModule;
  readonly checksum: string;
}

function hexOf(digest: string): string {
  return digest.slice(digest.indexOf(":") + 1);
}

function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
