import { readFields, textOf } from "../proto/wire.ts";
import type { RequestFacts, ResponseContents, ResponseFacts } from "./peek.ts";
import { CLUSTER_TYPE, LISTENER_TYPE, TYPE_PREFIX } from "./types.ts";
import type { Variant } from "./variant.ts";

/** In the words of `istioctl proxy-status`; STALE: sent, and not answered yet. */
export const SYNC_STATES = ["SYNCED", "REJECTED", "STALE", "NOT SENT"] as const;
type SyncState = (typeof SYNC_STATES)[number];

/** Where one resource type stands between the control plane and Envoy (or gRPC clients). JSON-ready; times are milliseconds since the epoch. */
export interface TypeState {
  /** `CDS`, `LDS`, `EDS`, ...; of a type without such a name the last word of its URL. */
  readonly name: string;
  readonly typeUrl: string;
  readonly state: SyncState;
  /** Version of the last response that Envoy took; absent until then. */
  readonly version?: string;
  /** When Envoy took it; absent until then. */
  readonly syncedMs?: number;
  /** When the last response was sent to Envoy; absent until then. */
  readonly sentMs?: number;
  /** How many Envoy has; with whole states (SotW) other than CDS and LDS how many the last response had. */
  readonly resources: number;
  /** Only with REJECTED. */
  readonly rejection?: TypeRejection;
}

export interface TypeRejection {
  /** The version that was refused; absent where only its nonce is known. */
  readonly version?: string;
  /** Of the first resource that was refused; absent where neither Envoy's words nor the response tell. */
  readonly resource?: string;
  /** Envoy's own words. */
  readonly text: string;
  readonly atMs: number;
}

interface Entry {
  state: SyncState;
  version?: string;
  syncedMs?: number;
  sentMs?: number;
  /** The last response: what an acknowledgement of its nonce means. */
  sent?: { readonly nonce: string; readonly version: string; readonly only: string | undefined };
  /** By name in delta streams. */
  names: Set<string>;
  /** In whole states. */
  count?: number;
  rejection?: TypeRejection;
  /** The stream that asked last. */
  stream: number;
  /** Of the Envoy before, which may stay. */
  before?: Entry;
}

const MOST_TYPES = 100;

/** Follows requests and responses of every type. What Envoy has outlives a stream: it goes on with it. */
export class TypeStates {
  readonly #entries = new Map<string, Entry>();
  #newest = 0;
  /** The newest stream when the newest Envoy was started. */
  #started = 0;
  readonly #now: () => number;
  readonly #onType: (typeUrl: string) => void;

  /** `onType` is called for each type, when it is first asked for. */
  constructor(now: () => number, onType: (typeUrl: string) => void = () => undefined) {
    this.#now = now;
    this.#onType = onType;
  }

  get(typeUrl: string): TypeState | undefined {
    return this.list().find((one) => one.typeUrl === typeUrl);
  }

  /** In the order in which Envoy subscribed. */
  list(): readonly TypeState[] {
    return [...this.#entries].map(([typeUrl, entry]) => {
      const { state, version, syncedMs, sentMs, rejection, names, count } = entry;
      return {
        ...{ name: shortTypeName(typeUrl), typeUrl, state, resources: count ?? names.size },
        ...(version === undefined ? {} : { version }),
        ...(syncedMs === undefined ? {} : { syncedMs }),
        ...(sentMs === undefined ? {} : { sentMs }),
        ...(rejection === undefined ? {} : { rejection }),
      };
    });
  }

  /**
   * The next Envoy is started: streams that ask first from now on are its, and what passes on earlier ones no longer shows
   * in a type that it has asked for. Returns the way back.
   */
  turnToNext(): () => void {
    const [before, started] = [this.#started, this.#newest];
    this.#started = started;
    for (const entry of this.#entries.values()) delete entry.before;
    return () => {
      this.#started = before;
      for (const [typeUrl, entry] of this.#entries) {
        if (entry.before !== undefined) this.#entries.set(typeUrl, entry.before);
        else if (entry.stream > started) this.#entries.delete(typeUrl);
      }
    };
  }

  /** Of the Envoy whose stream it is. */
  #entryOf(typeUrl: string, stream: number): Entry | undefined {
    const entry = this.#entries.get(typeUrl);
    if (entry === undefined) return undefined;
    if (stream <= this.#started) return entry.before ?? entry;
    if (entry.stream > this.#started || entry.stream === 0) return entry;
    const next = { ...entry, names: new Set(entry.names), before: entry };
    this.#entries.set(typeUrl, next);
    return next;
  }

  /** A request of the peer: a subscription, an acknowledgement or a rejection. `message` is read only for the first of a stream. */
  requested(stream: number, facts: RequestFacts, message: Uint8Array, variant: Variant): void {
    const { typeUrl, nonce, rejection, versionInfo } = facts;
    this.#newest = Math.max(this.#newest, stream);
    const entry = this.#entryOf(typeUrl, stream) ?? this.#add(typeUrl);
    if (entry === undefined) return;
    if (stream > entry.stream) begin(entry, stream, { names: knownNames(message, variant), version: versionInfo });
    if (rejection !== undefined) this.#reject(entry, nonce, rejection);
    else if (nonce !== "" && nonce === entry.sent?.nonce) {
      entry.state = "SYNCED";
      entry.version = entry.sent.version;
      entry.syncedMs = this.#now();
      delete entry.rejection;
    }
  }

  #add(typeUrl: string): Entry | undefined {
    if (typeUrl === "" || this.#entries.size >= MOST_TYPES) return undefined; // whoever reaches the socket chooses the names
    const entry: Entry = { state: "NOT SENT", names: new Set(), stream: 0 };
    this.#entries.set(typeUrl, entry);
    this.#onType(typeUrl);
    return entry;
  }

  /** A response on its way to the peer. */
  sent(stream: number, facts: ResponseFacts, { names, removed, count }: ResponseContents): void {
    const { typeUrl, nonce, versionInfo } = facts;
    const entry = this.#entryOf(typeUrl, stream);
    if (entry === undefined) return; // nobody asked
    for (const name of removed) entry.names.delete(name);
    for (const name of names) entry.names.add(name);
    if (count !== undefined) entry.count = count;
    entry.sent = { nonce, version: versionInfo, only: names.length === 1 ? names[0] : undefined };
    entry.sentMs = this.#now();
    if (entry.state !== "REJECTED") entry.state = "STALE"; // what it refused it still lacks, until it takes another
  }

  #reject(entry: Entry, nonce: string, text: string): void {
    const { sent } = entry;
    const isLast = sent?.nonce === nonce;
    const resource = resourceIn(text) ?? (isLast ? sent?.only : undefined);
    entry.state = "REJECTED";
    entry.rejection = {
      ...(isLast && sent?.version ? { version: sent.version } : {}),
      ...(resource === undefined ? {} : { resource }),
      text,
      atMs: this.#now(),
    };
  }
}

/** A new stream: a new Envoy begins with nothing, one that reconnects says what it has. */
function begin(entry: Entry, stream: number, known: { names: readonly string[]; version: string }): void {
  entry.stream = stream;
  delete entry.sent;
  entry.names = new Set(known.names);
  if (known.names.length > 0 || known.version !== "") return;
  delete entry.count;
  delete entry.version;
  delete entry.syncedMs;
  delete entry.sentMs;
  delete entry.rejection;
  entry.state = "NOT SENT";
}

/** Envoy's own: `Error adding/updating listener(s) 0.0.0.0_80: cannot bind '0.0.0.0:80': Address already in use`. */
function resourceIn(text: string): string | undefined {
  return /^Error adding\/updating (?:listener|cluster)\(s\) (\S+): /.exec(text)?.[1];
}

const SHORT_NAMES: Readonly<Record<string, string>> = {
  [CLUSTER_TYPE]: "CDS",
  [LISTENER_TYPE]: "LDS",
  [`${TYPE_PREFIX}envoy.config.endpoint.v3.ClusterLoadAssignment`]: "EDS",
  [`${TYPE_PREFIX}envoy.config.route.v3.RouteConfiguration`]: "RDS",
  [`${TYPE_PREFIX}envoy.config.route.v3.ScopedRouteConfiguration`]: "SRDS",
  [`${TYPE_PREFIX}envoy.config.route.v3.VirtualHost`]: "VHDS",
  [`${TYPE_PREFIX}envoy.extensions.transport_sockets.tls.v3.Secret`]: "SDS",
  [`${TYPE_PREFIX}envoy.config.core.v3.TypedExtensionConfig`]: "ECDS",
  [`${TYPE_PREFIX}envoy.service.runtime.v3.Runtime`]: "RTDS",
};

function shortTypeName(typeUrl: string): string {
  return SHORT_NAMES[typeUrl] ?? typeUrl.slice(typeUrl.search(/[^./]*$/));
}

/** Names in `initial_resource_versions` of a delta request: what a peer that reconnects has. */
function knownNames(message: Uint8Array, { request: { initialVersions } }: Variant): readonly string[] {
  const names: string[] = [];
  if (initialVersions === undefined) return names;
  readFields(message, (field, reader) => {
    if (field !== initialVersions) return false;
    names.push(textOf(reader.bytes(), 1));
    return true;
  });
  return names;
}
