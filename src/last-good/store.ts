import { describeError, type Logger, writeHint } from "../base/index.ts";
import { Contents, type Place, type TypeContents } from "./contents.ts";
import { type Entry, encodeEntry } from "./entries.ts";
import { hashOf } from "./hash.ts";
import { LogFolder, type ReadableLog, type WritableLog } from "./log-file.ts";
import { readContents } from "./read-contents.ts";
import { readPlaces } from "./read-places.ts";
import { writeAnew } from "./rewrite.ts";
import type { Turns } from "./turns.ts";

export interface StoreOptions {
  readonly folder: string;
  /** Name of the log, without its suffix. */
  readonly name: string;
  /** Whose configuration it is, in words; another owner's log does not count. */
  readonly owner: string;
  /** Of everything on disk at the same time. */
  readonly mostBytes: number;
  readonly turns: Turns;
  readonly log: Logger;
}

/** A resource as it goes in and comes out. */
export interface StoredResource {
  readonly name: string;
  readonly version: string;
  readonly value: Uint8Array;
}

/** What becomes of a type when a response is accepted. */
export interface Acceptance {
  readonly version: string;
  /** Names of resources that are gone. */
  readonly removed: readonly string[];
  /** Milliseconds since the epoch. */
  readonly atMs: number;
}

/** When a log is written anew: what nobody needs has grown by so much. */
const SLACK_BYTES = 4 * 2 ** 20;

/**
 * What Envoy accepted, by type and name, in a log on disk and an index in memory. The log of an earlier run is only read;
 * the first write makes a new one of what it says, as does too much that no longer counts. A failure to write ends all
 * open responses and is told once; what is on disk stays as it was. Calls must not overlap.
 */
export class Store {
  readonly #options: StoreOptions;
  readonly #folder: LogFolder;
  #contents = new Contents();
  #readable: ReadableLog | undefined;
  #writable: WritableLog | undefined;
  #isLoaded = false;
  #lastResponse = 0;
  /** Types of the responses that nobody has answered, by number. */
  readonly #begun = new Map<number, string>();
  /** The last response of each type that was accepted. */
  readonly #accepted = new Map<string, number>();
  #isTold = false;

  constructor(options: StoreOptions) {
    this.#options = options;
    this.#folder = new LogFolder(options.folder);
  }

  /** Reads the log of an earlier run, once. Never rejects. */
  async load(): Promise<void> {
    if (this.#isLoaded) return;
    this.#isLoaded = true;
    const { folder, name, owner, turns, log } = this.#options;
    try {
      this.#readable = await this.#folder.open(name);
      if (this.#readable !== undefined) await readContents(this.#readable, this.#contents, owner, turns);
    } catch (error) {
      log.warn("Cannot use the whole last-good configuration", { folder, error: describeError(error) });
    }
    this.#lastResponse = this.#contents.lastResponse;
  }

  type(typeUrl: string): TypeContents | undefined {
    return this.#contents.types.get(typeUrl);
  }

  /** Bytes on disk. */
  get size(): number {
    return this.#writable?.size ?? 0;
  }

  /** A response of a type begins; gives its number. Undefined where nothing can be written. Never rejects. */
  async begin(typeUrl: string): Promise<number | undefined> {
    await this.load();
    if (this.#writable === undefined && !(await this.#attempt(() => this.#rewrite()))) return undefined;
    this.#begun.set(++this.#lastResponse, typeUrl);
    return this.#lastResponse;
  }

  /**
   * Writes a resource of a response, unless the same is stored. False where it cannot be written, and then the response
   * is none of the store's any more. Never rejects.
   */
  async put(response: number, { name, version, value }: StoredResource): Promise<boolean> {
    const typeUrl = this.#begun.get(response);
    if (typeUrl === undefined) return false;
    const sha256 = await hashOf(value, this.#options.turns);
    const known = this.type(typeUrl)?.resources.get(name);
    if (known?.sha256 === sha256 && known.version === version && this.#isAlone(response, typeUrl)) return true;
    const entry: Entry = { kind: "resource", response, typeUrl, name, version, sha256 };
    return this.#attempt(async () => {
      await this.#makeRoom(value.length);
      await this.#append(entry, value);
    });
  }

  /**
   * Envoy accepted the response. False where that cannot be written. A response that is older than one that was accepted
   * changes nothing. Never rejects.
   */
  async accept(response: number, acceptance: Acceptance): Promise<boolean> {
    const typeUrl = this.#begun.get(response);
    if (typeUrl === undefined) return false;
    const isLate = response < (this.#accepted.get(typeUrl) ?? 0);
    if (isLate || !this.#isNews(response, typeUrl, acceptance)) {
      this.drop(response);
      await this.#writable?.touch();
      return true;
    }
    return this.#attempt(async () => {
      await this.#append({ kind: "accepted", response, typeUrl, ...acceptance });
      await this.#writable?.flush();
      this.#accepted.set(typeUrl, response);
      this.#begun.delete(response);
      this.#isTold = false;
      if (this.size > 2 * this.#contents.bytes + SLACK_BYTES) await this.#rewrite();
    });
  }

  drop(response: number): void {
    this.#contents.drop(response);
    this.#begun.delete(response);
  }

  /** Removes all of a type, and everything where that cannot be written. Never rejects. */
  async forget(typeUrl: string): Promise<void> {
    await this.load();
    if (!this.#contents.types.has(typeUrl)) return;
    const isForgotten = await this.#attempt(async () => {
      if (this.#writable === undefined) await this.#rewrite();
      await this.#append({ kind: "forgotten", typeUrl });
      await this.#rewrite(); // what must not be kept must not lie in the file either
    });
    if (!isForgotten) await this.forgetAll();
  }

  /** Removes everything, and the log itself: that also works on a full disk. Never rejects. */
  async forgetAll(): Promise<void> {
    const { folder, name, log } = this.#options;
    this.#isLoaded = true;
    this.#contents = new Contents();
    this.#begun.clear();
    try {
      await this.#folder.remove(name);
    } catch (error) {
      if (!this.#isTold) log.warn("Cannot remove a last-good configuration", { folder, error: describeError(error) });
      this.#isTold = true;
    }
    await this.close().catch(() => undefined); // the file is gone, or stays as it is
  }

  /** The values at places, which should lie together. Rejects where the log cannot be read, or was damaged. */
  async read(places: readonly Place[]): Promise<Buffer[]> {
    const source = this.#writable ?? this.#readable;
    const values = source === undefined ? [] : await readPlaces(source, places, this.#options.turns);
    return places.map((_, at) => {
      const value = values[at];
      if (value === undefined) throw new Error(`the log in "${this.#options.folder}" is damaged`);
      return value;
    });
  }

  async close(): Promise<void> {
    await this.#writable?.[Symbol.asyncDispose]();
    await this.#readable?.[Symbol.asyncDispose]();
    [this.#writable, this.#readable] = [undefined, undefined];
  }

  /** While another response of the type is open, nobody knows what will be stored. */
  #isAlone(response: number, typeUrl: string): boolean {
    return ![...this.#begun].some(([other, type]) => type === typeUrl && other !== response);
  }

  #isNews(response: number, typeUrl: string, { version, removed }: Acceptance): boolean {
    const known = this.type(typeUrl);
    return known?.version !== version || removed.length > 0 || this.#contents.open.has(response);
  }

  async #append(entry: Entry, value: Uint8Array = new Uint8Array()): Promise<void> {
    if (this.#writable === undefined) throw new Error("there is no log");
    const at = await this.#writable.append(encodeEntry(entry, value));
    this.#contents.apply(entry, { at, bytes: value.length });
  }

  /** Two logs lie on disk while one is written anew. */
  async #makeRoom(bytes: number): Promise<void> {
    const { mostBytes } = this.#options;
    const isTooMuch = (): boolean => this.size + this.#contents.bytes + 2 * bytes > mostBytes;
    if (isTooMuch() && this.size > this.#contents.bytes + SLACK_BYTES) await this.#rewrite();
    if (isTooMuch()) throw new TooMuchError(`it needs more than ${mostBytes} bytes`);
  }

  /** A new log of what counts and of what may come to count. */
  async #rewrite(): Promise<void> {
    const { name, owner, turns } = this.#options;
    const log = await this.#folder.create(name);
    try {
      const contents = await writeAnew(log, {
        contents: this.#contents,
        owner,
        read: (places) => this.read(places),
        nextResponse: () => ++this.#lastResponse,
        turns,
      });
      await this.close();
      [this.#writable, this.#contents] = [log, contents];
    } catch (error) {
      if (this.#writable !== log) await log[Symbol.asyncDispose]();
      throw error;
    }
    await this.#folder.tidy(name);
  }

  /** False where the work failed, and then all open responses are gone. The first failure is logged, and the first after a success. */
  async #attempt(work: () => Promise<void>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      for (const response of [...this.#begun.keys()]) this.drop(response);
      const { folder, log } = this.#options;
      const hint = error instanceof TooMuchError ? "Allow more with PILOTBOAT_LAST_GOOD_BYTES" : writeHint(error);
      if (!this.#isTold)
        log.warn("Cannot keep the configuration for a restart", { folder, error: describeError(error), hint });
      this.#isTold = true;
      return false;
    }
  }
}

class TooMuchError extends Error {}
