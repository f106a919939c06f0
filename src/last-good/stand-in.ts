import type { Variant } from "../proto/ads-variant.ts";
import type { Place, TypeContents } from "./contents.ts";
import { resourceBytes, resourceEnds, responseEnds } from "./encode-response.ts";
import { together } from "./read-places.ts";
import { type Request, readRequest } from "./read-request.ts";
import type { Store } from "./store.ts";
import { Subscription } from "./subscription.ts";
import type { WorkQueue } from "./work-queue.ts";

/** A response to a request. */
export interface Answer {
  readonly resourceCount: number;
  /** Of the whole response, in bytes. */
  readonly length: number;
  /**
   * All of it, piece by piece; each is read when it is asked for. Rejects where the log cannot be read, was damaged, or
   * changed meanwhile.
   */
  pieces(): AsyncIterable<Buffer>;
}

interface Asked {
  readonly name: string;
  readonly place: Place;
}

/** Answers one stream of Envoy as the control plane would, with what Envoy accepted before. */
export class StandIn {
  readonly #variant: Variant;
  readonly #store: Store;
  readonly #queue: WorkQueue;
  readonly #subscriptions = new Map<string, Subscription>();
  #lastNonce = 0;

  constructor(variant: Variant, store: Store, queue: WorkQueue) {
    this.#variant = variant;
    this.#store = store;
    this.#queue = queue;
  }

  /** Undefined where there is none: it acknowledges or rejects, asks for what Envoy has, or for what is not known. */
  answer(message: Uint8Array): Promise<Answer | undefined> {
    return this.#queue.run(async () => {
      const request = await readRequest(this.#variant, message, this.#queue.turns);
      const type = this.#store.type(request.typeUrl);
      const names = this.#asked(request, type);
      return type === undefined || names === undefined ? undefined : this.#prepare(request.typeUrl, type, names);
    });
  }

  async #prepare(typeUrl: string, type: TypeContents, names: readonly string[]): Promise<Answer> {
    const { turns } = this.#queue;
    const asked: Asked[] = [];
    const { start, end } = this.#ends(typeUrl, type);
    let length = start.length + end.length;
    for (const name of names) {
      const place = type.resources.get(name);
      if (place === undefined) continue;
      asked.push({ name, place });
      length += resourceBytes(this.#variant, typeUrl, factsOf({ name, place }, type));
      if (turns.isOver) await turns.next();
    }
    const resourceCount = asked.length;
    return { resourceCount, length, pieces: () => this.#pieces(typeUrl, type, asked, { start, end }) };
  }

  #ends(typeUrl: string, { version }: TypeContents): ReturnType<typeof responseEnds> {
    return responseEnds(this.#variant, { typeUrl, version, nonce: `last-good-${++this.#lastNonce}` });
  }

  async *#pieces(
    typeUrl: string,
    type: TypeContents,
    asked: readonly Asked[],
    { start, end }: ReturnType<typeof responseEnds>,
  ): AsyncGenerator<Buffer> {
    const { turns } = this.#queue;
    yield Buffer.from(start);
    for (const group of together(asked)) {
      const values = await this.#queue.run(() => this.#read(typeUrl, group));
      const parts: Uint8Array[] = [];
      for (const [at, value] of values.entries()) {
        const { name, version } = factsOf(group[at] as Asked, type);
        const { before, behind } = resourceEnds(this.#variant, typeUrl, { name, version, bytes: value.length });
        parts.push(before, value, behind);
        if (turns.isOver) await turns.next();
      }
      yield Buffer.concat(parts);
    }
    yield Buffer.from(end);
  }

  /** Between two reads the log may have been written anew: the same values then lie elsewhere. */
  #read(typeUrl: string, group: readonly Asked[]): Promise<readonly Buffer[]> {
    const resources = this.#store.type(typeUrl)?.resources;
    const places = group.map(({ name, place }) => {
      const now = resources?.get(name);
      if (now?.sha256 !== place.sha256) throw new Error("the last-good configuration changed while it was sent");
      return now;
    });
    return this.#store.read(places);
  }

  /** Names to be sent; undefined where nothing is. */
  #asked(request: Request, type: TypeContents | undefined): readonly string[] | undefined {
    const known = this.#subscriptions.get(request.typeUrl);
    if (known !== undefined) return some(known.change(request).asked.filter((name) => type?.resources.has(name)));
    const subscription = new Subscription(request, this.#variant.name === "delta");
    this.#subscriptions.set(request.typeUrl, subscription);
    const { initial, isFresh, isWildcard, names } = subscription;
    if (isWildcard) return isFresh ? [...(type?.resources.keys() ?? [])] : undefined; // also none: that is an answer
    if (initial === undefined) return undefined; // Envoy has a version of them
    return some([...names].filter((name) => !initial.has(name) && type?.resources.has(name)));
  }
}

function factsOf({ name, place }: Asked, { version }: TypeContents) {
  return { name, version: place.version === "" ? version : place.version, bytes: place.bytes };
}

function some(names: readonly string[]): readonly string[] | undefined {
  return names.length === 0 ? undefined : names;
}
