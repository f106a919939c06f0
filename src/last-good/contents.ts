import type { Entry } from "./entries.ts";

/** Where the value of a resource lies in the log. */
export interface Place {
  /** Offset of its first byte. */
  readonly at: number;
  readonly bytes: number;
  readonly sha256: string;
  readonly version: string;
}

export interface TypeContents {
  /** Of the last response that Envoy accepted. */
  readonly version: string;
  /** When it did: milliseconds since the epoch. */
  readonly atMs: number;
  /** By name. */
  readonly resources: ReadonlyMap<string, Place>;
}

/** What a response has brought that Envoy has not answered. */
export interface OpenResponse {
  readonly typeUrl: string;
  /** By name. */
  readonly resources: ReadonlyMap<string, Place>;
}

/** About what an entry has beside its value. */
const ENTRY_BYTES = 300;

/** What a log says when it is read to its end. */
export class Contents {
  readonly #types = new Map<string, TypeContents & { readonly resources: Map<string, Place> }>();
  readonly #open = new Map<number, OpenResponse & { readonly resources: Map<string, Place> }>();
  #bytes = 0;
  #lastResponse = 0;

  /** By type URL. */
  get types(): ReadonlyMap<string, TypeContents> {
    return this.#types;
  }

  /** By the response's number. */
  get open(): ReadonlyMap<number, OpenResponse> {
    return this.#open;
  }

  /** Of everything that counts or may come to count: what a new log would have. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The highest number of a response that brought something; 0 where none did. */
  get lastResponse(): number {
    return this.#lastResponse;
  }

  /** `value` is where the entry's value lies. */
  apply(entry: Entry, value: { readonly at: number; readonly bytes: number }): void {
    if (entry.kind === "resource") {
      const { response, typeUrl, name, sha256, version } = entry;
      const open = this.#open.get(response) ?? { typeUrl, resources: new Map<string, Place>() };
      this.#open.set(response, open);
      this.#lastResponse = Math.max(this.#lastResponse, response);
      this.#put(open.resources, name, { ...value, sha256, version });
    } else if (entry.kind === "forgotten") {
      this.#removeAll(this.#types.get(entry.typeUrl)?.resources);
      this.#types.delete(entry.typeUrl);
    } else if (entry.kind === "accepted") {
      const { response, typeUrl, version, atMs, removed } = entry;
      const before = this.#types.get(typeUrl)?.resources;
      for (const name of removed) this.#remove(before, name);
      const resources = this.#merge(before, this.#open.get(response)?.resources);
      this.#open.delete(response);
      this.#types.set(typeUrl, { version, atMs, resources });
    }
  }

  /** What was brought has been counted. Thousands that are the first of their type are not moved one by one. */
  #merge(before: Map<string, Place> | undefined, brought: Map<string, Place> | undefined): Map<string, Place> {
    if (before === undefined || before.size === 0) return brought ?? new Map<string, Place>();
    for (const [name, place] of brought ?? []) {
      this.#remove(before, name);
      before.set(name, place);
    }
    return before;
  }

  /** The response does not count: Envoy refused it, or never answered it. */
  drop(response: number): void {
    this.#removeAll(this.#open.get(response)?.resources);
    this.#open.delete(response);
  }

  #put(resources: Map<string, Place>, name: string, place: Place): void {
    this.#remove(resources, name);
    resources.set(name, place);
    this.#bytes += place.bytes + ENTRY_BYTES;
  }

  #remove(resources: Map<string, Place> | undefined, name: string): void {
    const place = resources?.get(name);
    if (resources === undefined || place === undefined) return;
    resources.delete(name);
    this.#bytes -= place.bytes + ENTRY_BYTES;
  }

  #removeAll(resources: Map<string, Place> | undefined): void {
    for (const name of [...(resources?.keys() ?? [])]) this.#remove(resources, name);
  }
}
