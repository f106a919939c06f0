import { isDebug, namedBy } from "./resource-types.ts";
import type { Question, Received, Response, Wanted } from "./types.ts";
import { DELTA, hasNames, SOTW, type Variant } from "./variant.ts";

/** What a stream knows of one type. */
export interface Watched {
  readonly typeUrl: string;
  /** Whether it was asked for, and not only to learn names. */
  readonly isWanted: boolean;
  /** The types whose resources name those of this one; undefined where names were given or none are needed. */
  readonly namesFrom: readonly string[] | undefined;
  names: readonly string[];
  /** Undefined until something was asked for. */
  isAsked: boolean;
  /** The latest response; undefined while there is none. */
  response: Response | undefined;
  /** By name. What has no name stands by its place. */
  readonly resources: Map<string, Received>;
}

/** What a response changed of a type. */
export interface Change {
  readonly watched: Watched;
  readonly response: Response;
  readonly added: readonly Received[];
  readonly changed: readonly Received[];
  readonly removed: readonly string[];
}

export interface ConversationOptions {
  readonly question: Question;
  readonly send: (bytes: Uint8Array) => void;
  /** Names of another type that a resource refers to. */
  readonly referredNames: (resource: Received, typeUrl: string) => readonly string[];
  /** What was known before, by type: the same stream once more. */
  readonly known?: Known;
}

type Known = ReadonlyMap<string, ReadonlyMap<string, Received>>;

/** One stream's bookkeeping: what is asked for, acknowledged, known. It asks for names once it has learned them. */
export class Conversation {
  readonly #options: ConversationOptions;
  readonly #variant: Variant;
  readonly #watched = new Map<string, Watched>();
  #hasSentNode = false;

  constructor(options: ConversationOptions) {
    this.#options = options;
    const { isDelta, wanted } = options.question;
    this.#variant = isDelta ? DELTA : SOTW;
    for (const one of wanted) this.#add(one, true);
    for (const { namesFrom = [] } of [...this.#watched.values()]) {
      for (const typeUrl of namesFrom) if (!this.#watched.has(typeUrl)) this.#add({ typeUrl, names: [] }, false);
    }
  }

  get watched(): readonly Watched[] {
    return [...this.#watched.values()];
  }

  /** Asks for everything whose names are known. */
  begin(): void {
    for (const watched of this.#watched.values()) if (watched.namesFrom === undefined) this.#ask(watched);
  }

  /**
   * Acknowledges a response and says what it changed: its own type first, then those that lost names by it. Nothing for a
   * type that was not asked for.
   */
  onResponse(response: Response): readonly Change[] {
    const watched = this.#watched.get(response.typeUrl);
    if (watched === undefined) return [];
    const change = this.#take(watched, response);
    if (!isDebug(response.typeUrl)) this.#options.send(this.#variant.acknowledge(askingOf(watched), response));
    const others = this.watched.filter(({ namesFrom }) => namesFrom?.includes(watched.typeUrl));
    return [change, ...others.flatMap((other) => this.#learn(other, response))];
  }

  /** What is known by now, by type, for the next conversation. */
  get known(): Known {
    return new Map(this.watched.map(({ typeUrl, resources }) => [typeUrl, resources]));
  }

  /** Whether all that a type can still learn has come. */
  isSettled({ typeUrl, isAsked, response, namesFrom, names, resources }: Watched): boolean {
    if (isAsked) return response !== undefined && (this.#isDelta() || !missingNames({ typeUrl, names, resources })[0]);
    return namesFrom?.every((typeUrl) => this.#watched.get(typeUrl)?.response !== undefined) ?? false;
  }

  #isDelta(): boolean {
    return this.#options.question.isDelta;
  }

  #add({ typeUrl, names, versions = {} }: Wanted, isWanted: boolean): void {
    const namesFrom = names.length > 0 || Object.keys(versions).length > 0 ? undefined : namedBy(typeUrl);
    const resources = new Map(this.#options.known?.get(typeUrl));
    this.#watched.set(typeUrl, { typeUrl, isWanted, namesFrom, names, isAsked: false, response: undefined, resources });
  }

  #ask(watched: Watched): void {
    const { node, wanted } = this.#options.question;
    watched.isAsked = true;
    const { versions = {} } = wanted.find(({ typeUrl }) => typeUrl === watched.typeUrl) ?? {};
    this.#options.send(
      this.#variant.subscribe({ ...askingOf(watched), versions }, this.#hasSentNode ? undefined : node),
    );
    this.#hasSentNode = true;
  }

  /** Asks for the names that the others refer to now, if those are others than before; says what is no longer wanted. */
  #learn(watched: Watched, cause: Response): Change[] {
    const sources = (watched.namesFrom ?? []).map((typeUrl) => this.#watched.get(typeUrl));
    const found = sources.flatMap((source) => [...(source?.resources.values() ?? [])]);
    const names = new Set(found.flatMap((resource) => this.#options.referredNames(resource, watched.typeUrl)));
    const before = watched.names;
    const isSame = names.size === before.length && before.every((name) => names.has(name));
    watched.names = [...names];
    if (!isSame && watched.response !== undefined) {
      this.#options.send(this.#variant.change(askingOf(watched), before, watched.response));
    } else if (!isSame && names.size > 0) this.#ask(watched);
    const gone = [...watched.resources.keys()].filter((name) => !names.has(name)); // also of an earlier stream
    const removed = gone.filter((name) => watched.resources.delete(name));
    const response = watched.response ?? cause;
    return removed.length === 0 ? [] : [{ watched, response, added: [], changed: [], removed }];
  }

  #take(watched: Watched, response: Response): Change {
    const { resources } = watched;
    const isFirst = watched.response === undefined;
    watched.response = response;
    const added: Received[] = [];
    const changed: Received[] = [];
    const seen = new Set<string>();
    response.resources.forEach((resource, at) => {
      const key = resource.name === "" && at > 0 ? `#${at + 1}` : resource.name;
      if (watched.namesFrom !== undefined && !watched.names.includes(key)) return; // on its way when it was given up
      const before = resources.get(key);
      seen.add(key);
      resources.set(key, resource);
      if (before === undefined) added.push(resource);
      else if (Buffer.compare(before.any.value, resource.any.value) !== 0) changed.push(resource);
    });
    const isWhole = this.#isDelta() ? isFirst : namedBy(watched.typeUrl) === undefined;
    const gone = isWhole ? [...resources.keys()].filter((name) => !seen.has(name)) : response.removed;
    const removed = gone.filter((name) => resources.delete(name));
    return { watched, response, added, changed, removed };
  }
}

/**
 * The names that were asked for and have not come. Nothing can be said of resources that tell no name: a question of
 * debugging has its words there.
 */
export function missingNames({
  typeUrl,
  names,
  resources,
}: Pick<Watched, "typeUrl" | "names" | "resources">): readonly string[] {
  const areNamed = !resources.has("") && (hasNames(typeUrl) || resources.size > 0);
  return areNamed ? names.filter((name) => name !== "*" && !resources.has(name)) : [];
}

function askingOf({ typeUrl, names }: Watched) {
  return { typeUrl, names, versions: {} };
}
