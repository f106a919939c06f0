import { TYPED_STRUCTS } from "../proto/struct.ts";
import { bytesOf, nameIn, readFields, rewriteFields, textOf, typeOf } from "../proto/wire.ts";
import type { Variant } from "./variant.ts";

/** A filter that was left out of a resource. */
export interface Omission {
  /** The filter's own name, which the control plane chose. */
  readonly filter: string;
  /** Full name of the message that configures it. */
  readonly type: string;
  /** Where it was: `cluster "outbound|80||web"`. */
  readonly place: string;
}

export interface LeaveOutOptions {
  readonly variant: Variant;
  /** By the full name of its configuration's message: whether a filter is to be left out, and with it which ALPN protocol. */
  readonly unwanted: ReadonlyMap<string, { readonly alpn?: string | undefined }>;
  /** Called for each filter that is left out. */
  readonly onOmission: (omission: Omission) => void;
}

/**
 * A discovery response without the unwanted filters: those of clusters (network and HTTP), of the filter chains of
 * listeners, of HTTP connection managers in them, and whole extension configurations. With a filter goes the ALPN protocol
 * that it would have spoken, in the TLS settings of the same cluster or chain: a peer that agreed on it would send bytes
 * that nobody here takes out. All other bytes stay, and a message without such filters is returned as it is. Throws on
 * bytes that are not protobuf.
 * Sources of the numbers: envoy/config/cluster/v3, envoy/config/listener/v3, envoy/extensions of the Envoy API.
 */
export function leaveOut(message: Uint8Array, options: LeaveOutOptions): Uint8Array {
  return new Walk(options).response(message);
}

/** Where a filter of each kind has its typed configuration, and how one that comes later is discovered. */
const FILTER_FIELDS = {
  cluster: { config: 2, discovery: 3 },
  network: { config: 4, discovery: 5 },
  http: { config: 4, discovery: 5 },
} as const;
type FilterKind = keyof typeof FILTER_FIELDS;

const CONNECTION_MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
const TLS_CONTEXT = /^envoy\.extensions\.transport_sockets\.tls\.v3\.(Upstream|Downstream)TlsContext$/;

/** A field's new bytes by its number; a field that is not named stays. */
type Rewrites = Readonly<Record<number, (value: Uint8Array) => Uint8Array | undefined>>;

class Walk {
  readonly #options: LeaveOutOptions;
  /** Says where the walk is; asked only when a filter goes. */
  #place: () => string = () => "";
  /** Protocols of filters that the cluster or chain at hand has lost. */
  #alpn = new Set<string>();

  constructor(options: LeaveOutOptions) {
    this.#options = options;
  }

  response(bytes: Uint8Array): Uint8Array {
    const { resources, anyInResource } = this.#options.variant.response;
    return rewriteFields(bytes, (field, value) => {
      if (field !== resources) return value;
      return anyInResource === undefined ? this.#resource(value) : this.#wrapped(value, anyInResource);
    });
  }

  /** An entry whose resource is gone is gone with its name and version. */
  #wrapped(bytes: Uint8Array, anyField: number): Uint8Array | undefined {
    let isGone = false;
    const next = each(bytes, {
      [anyField]: (any) => {
        const kept = this.#resource(any);
        isGone = kept === undefined;
        return kept;
      },
    });
    return isGone ? undefined : next;
  }

  #resource(any: Uint8Array): Uint8Array | undefined {
    switch (typeOf(any)) {
      case "envoy.config.cluster.v3.Cluster":
        return inAny(any, (cluster) => this.#cluster(cluster));
      case "envoy.config.listener.v3.Listener":
        return inAny(any, (listener) => this.#listener(listener));
      case "envoy.config.core.v3.TypedExtensionConfig":
        return this.#extension(any);
      case "envoy.service.discovery.v3.Resource":
        return this.#wrappedAny(any);
      default:
        return any;
    }
  }

  /** With a time to live, whole states have wrapped entries, too. */
  #wrappedAny(any: Uint8Array): Uint8Array | undefined {
    let isGone = false;
    const next = inAny(any, (entry) => {
      const kept = this.#wrapped(entry, ANY_IN_RESOURCE);
      isGone = kept === undefined;
      return kept ?? entry;
    });
    return isGone ? undefined : next;
  }

  #cluster(cluster: Uint8Array): Uint8Array {
    this.#enter("cluster", cluster);
    const filtered = each(cluster, {
      40: (filter) => this.#filter(filter, "cluster"),
      36: (entry) => each(entry, { 2: (any) => this.#protocolOptions(any) }),
    });
    if (this.#alpn.size === 0) return filtered;
    return each(filtered, {
      24: (socket) => this.#transportSocket(socket),
      43: (match) => each(match, { 3: (socket) => this.#transportSocket(socket) }),
    });
  }

  #protocolOptions(any: Uint8Array): Uint8Array {
    if (typeOf(any) !== HTTP_OPTIONS) return any;
    return inAny(any, (options) => each(options, { 6: (filter) => this.#filter(filter, "http") }));
  }

  #listener(listener: Uint8Array): Uint8Array {
    const chain = (bytes: Uint8Array): Uint8Array => this.#filterChain(bytes, listener);
    return each(listener, { 3: chain, 25: chain });
  }

  #filterChain(chain: Uint8Array, listener: Uint8Array): Uint8Array {
    this.#enter("listener", listener);
    const filtered = each(chain, { 3: (filter) => this.#filter(filter, "network") });
    return this.#alpn.size === 0 ? filtered : each(filtered, { 6: (socket) => this.#transportSocket(socket) });
  }

  #extension(any: Uint8Array): Uint8Array | undefined {
    this.#enter("extension configuration", bytesOf(any, 2));
    let isGone = false;
    const next = inAny(any, (extension) =>
      each(extension, {
        2: (config) => {
          const kept = this.#config(config, extension);
          isGone = kept === undefined;
          return kept;
        },
      }),
    );
    return isGone ? undefined : next;
  }

  #filter(filter: Uint8Array, kind: FilterKind): Uint8Array | undefined {
    const { config, discovery } = FILTER_FIELDS[kind];
    let isGone = false;
    const next = each(filter, {
      [config]: (any) => {
        const kept = this.#config(any, filter);
        isGone ||= kept === undefined;
        return kept;
      },
      [discovery]: (source) => {
        isGone ||= this.#isOfUnwantedTypes(source, filter);
        return source;
      },
    });
    return isGone ? undefined : next;
  }

  /** A filter's typed configuration; undefined when the filter goes. */
  #config(any: Uint8Array, filter: Uint8Array): Uint8Array | undefined {
    const type = configuredType(any);
    if (this.#isUnwanted(type)) {
      this.#note(filter, type);
      return undefined;
    }
    if (type !== CONNECTION_MANAGER || type !== typeOf(any)) return any;
    return inAny(any, (manager) =>
      each(manager, {
        5: (http) => this.#filter(http, "http"),
        23: (upgrade) => each(upgrade, { 2: (http) => this.#filter(http, "http") }),
      }),
    );
  }

  /** A filter that is discovered names the types it may get; Envoy wants to know all of them. */
  #isOfUnwantedTypes(source: Uint8Array, filter: Uint8Array): boolean {
    const types: string[] = [];
    readFields(source, (field, reader) => {
      if (field !== 4) return false;
      types.push(nameIn(reader.string()));
      return true;
    });
    if (types.length === 0 || !types.every((type) => this.#isUnwanted(type))) return false;
    for (const type of types) this.#note(filter, type);
    return true;
  }

  #transportSocket(socket: Uint8Array): Uint8Array {
    const withoutAlpn = (common: Uint8Array): Uint8Array =>
      each(common, { 4: (protocol) => (this.#alpn.has(Buffer.from(protocol).toString()) ? undefined : protocol) });
    return each(socket, {
      3: (any) => (TLS_CONTEXT.test(typeOf(any)) ? inAny(any, (tls) => each(tls, { 1: withoutAlpn })) : any),
    });
  }

  #isUnwanted(type: string): boolean {
    return this.#options.unwanted.has(type);
  }

  #enter(kind: string, named: Uint8Array): void {
    this.#place = () => `${kind} ${JSON.stringify(textOf(named, NAME))}`;
    this.#alpn = new Set();
  }

  #note(filter: Uint8Array, type: string): void {
    const alpn = this.#options.unwanted.get(type)?.alpn;
    if (alpn !== undefined) this.#alpn.add(alpn);
    this.#options.onOmission({ filter: textOf(filter, NAME), type, place: this.#place() });
  }
}

const ANY_IN_RESOURCE = 2;
/** Of clusters, listeners, filters and extension configurations alike. */
const NAME = 1;

function each(bytes: Uint8Array, rewrites: Rewrites): Uint8Array {
  return rewriteFields(bytes, (field, value) => (rewrites[field] ?? same)(value));
}

const same = (value: Uint8Array): Uint8Array => value;

/** Rewrites what an `Any` holds. */
function inAny(any: Uint8Array, rewrite: (value: Uint8Array) => Uint8Array): Uint8Array {
  return each(any, { 2: rewrite });
}

/** The full name of the message in an `Any`, or of what a `TypedStruct` in it stands for, which configures without the message's descriptor. */
function configuredType(any: Uint8Array): string {
  const type = typeOf(any);
  return TYPED_STRUCTS.has(type) ? typeOf(bytesOf(any, 2)) : type;
}
