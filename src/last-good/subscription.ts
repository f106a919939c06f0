import type { Request } from "./read-request.ts";

/** What a stream asks for of one type. Source: Envoy docs "xDS REST and gRPC protocol". */
export class Subscription {
  /** All there are of the type. */
  readonly isWildcard: boolean;
  /** Versions of the resources that the client had when the stream began, by name; for whole states undefined where only one for all is known. */
  readonly initial: ReadonlyMap<string, string> | undefined;
  readonly #isDelta: boolean;
  #names: Set<string>;

  constructor(first: Request, isDelta: boolean) {
    this.isWildcard = first.names.length === 0 || first.names.includes("*");
    this.#isDelta = isDelta;
    this.initial = first.version === "" ? first.initial : undefined;
    this.#names = new Set(first.names);
  }

  /** The client of the stream began without anything of the type. */
  get isFresh(): boolean {
    return this.initial?.size === 0;
  }

  get names(): ReadonlySet<string> {
    return this.#names;
  }

  /** Takes a later request; gives the names that are new, or all of them in whole states, and those that are not asked for any more. */
  change(request: Request): { readonly asked: readonly string[]; readonly dropped: readonly string[] } {
    if (this.isWildcard) return { asked: [], dropped: [] };
    if (this.#isDelta) {
      for (const name of request.names) this.#names.add(name);
      for (const name of request.unsubscribed) this.#names.delete(name);
      return { asked: request.names, dropped: request.unsubscribed };
    }
    const before = this.#names;
    this.#names = new Set(request.names);
    const isGrown = request.names.some((name) => !before.has(name));
    return { asked: isGrown ? request.names : [], dropped: [...before].filter((name) => !this.#names.has(name)) };
  }
}
