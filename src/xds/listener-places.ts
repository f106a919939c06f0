import type { Logger } from "../base/index.ts";
import { bytesOf, encodeFields, fieldOf, readFields, rewriteFields, textOf, typeOf } from "../proto/wire.ts";
import type { ResponseHook, StreamHook } from "./response-hooks.ts";
import { rewritten } from "./rewritten.ts";
import { TYPE_PREFIX } from "./types.ts";
import type { Variant } from "./variant.ts";

/** A listener that Envoy is going to bind. */
export interface WantedListener {
  readonly name: string;
  /** IP address. */
  readonly address: string;
  readonly port: number;
  /** Whether it takes what others send to this workload. */
  readonly isInbound: boolean;
}

/** Where Envoy shall listen instead. */
export interface ListenerPlace {
  readonly port: number;
  /** Whether the addresses that stand for all of the machine's become those of its loopback interface. Default false. */
  readonly isLoopback?: boolean;
  /** File of the network namespace in which Envoy shall open the socket. Default: its own. */
  readonly networkNamespace?: string;
}

/** Places a listener; undefined leaves it out. Asked once for each name and port. */
export type PlaceListener = (listener: WantedListener) => Promise<ListenerPlace | undefined>;

const LOOPBACK: Readonly<Record<string, string>> = { "0.0.0.0": "127.0.0.1", "::": "::1" };

/** The address at which a listener of `address` is when it is open to this machine alone. */
export function loopbackOf(address: string): string {
  return LOOPBACK[address] ?? address;
}

const LISTENER = "envoy.config.listener.v3.Listener";
const ROUTES = "envoy.config.route.v3.RouteConfiguration";

/**
 * Moves listeners to ports that this machine has, or leaves them out. Also lets the routes of istiod's HTTP proxy tell
 * ports apart: their domains have them, and are never found while ports are ignored.
 * Sources of the numbers: envoy/config/listener/v3, envoy/config/core/v3/address.proto, envoy/config/route/v3.
 */
export class ListenerPlaces implements ResponseHook {
  readonly #place: PlaceListener;
  readonly #log: Logger;
  readonly #known = new Map<string, ListenerPlace | undefined>();

  constructor(place: PlaceListener, log: Logger) {
    this.#place = place;
    this.#log = log;
  }

  forStream(variant: Variant): StreamHook {
    const rewrite = (message: Buffer, change: (any: Uint8Array) => Uint8Array | undefined): Buffer =>
      rewritten(message, this.#log, (bytes) => eachResource(bytes, variant, change));
    return {
      handles: (typeUrl) => typeUrl === `${TYPE_PREFIX}${LISTENER}` || typeUrl === `${TYPE_PREFIX}${ROUTES}`,
      rewrite: (message, { typeUrl }) => {
        if (typeUrl.endsWith(ROUTES)) return rewrite(message, withPortsInHosts);
        const unknown: WantedListener[] = [];
        rewrite(message, (any) => {
          const listener = read(any);
          if (listener !== undefined && !this.#known.has(keyOf(listener))) unknown.push(listener);
          return any;
        });
        const move = (): Buffer => rewrite(message, (any) => this.#moved(any));
        return unknown.length === 0 ? move() : this.#ask(unknown).then(move);
      },
    };
  }

  /** One after the other: two may want the same port. */
  async #ask(listeners: readonly WantedListener[]): Promise<void> {
    for (const listener of listeners) this.#known.set(keyOf(listener), await this.#place(listener));
  }

  #moved(any: Uint8Array): Uint8Array | undefined {
    const listener = read(any);
    if (listener === undefined) return any;
    const place = this.#known.get(keyOf(listener));
    if (place === undefined) return undefined;
    const { port, isLoopback = false, networkNamespace } = place;
    const isMoved = port !== listener.port;
    if (!isMoved && !isLoopback && networkNamespace === undefined) return any;
    const inAddress = (address: Uint8Array): Uint8Array =>
      each(address, 1, (socket) => {
        const to = isLoopback ? LOOPBACK[textOf(socket, 2)] : undefined;
        const fields = {
          ...(to !== undefined && { 2: to }),
          ...(isMoved && { 3: port }),
          ...(networkNamespace !== undefined && { 7: networkNamespace }),
        };
        return Object.keys(fields).length === 0 ? socket : joined(socket, encodeFields(fields));
      });
    return each(any, 2, (value) => each(each(value, 2, inAddress), 33, (additional) => each(additional, 1, inAddress)));
  }
}

function keyOf({ name, port }: WantedListener): string {
  return `${port} ${name}`;
}

/** Undefined for what is no listener, or binds no port. */
function read(any: Uint8Array): WantedListener | undefined {
  if (typeOf(any) !== LISTENER) return undefined;
  const listener = bytesOf(any, 2);
  const socket = fieldOf(bytesOf(listener, 2), 1);
  const bindToPort = fieldOf(listener, 26);
  if (socket === undefined || (bindToPort !== undefined && numberOf(bindToPort, 1) === 0)) return undefined;
  return {
    name: textOf(listener, 1),
    address: textOf(socket, 2),
    port: numberOf(socket, 3),
    isInbound: numberOf(listener, 16) === INBOUND,
  };
}

const INBOUND = 1;

function numberOf(message: Uint8Array, wanted: number): number {
  let found = 0;
  const skip = (): boolean => false;
  readFields(message, skip, (field, reader) => {
    if (field !== wanted) return false;
    found = reader.uint32();
    return true;
  });
  return found;
}

/** istiod's name of the routes of its HTTP proxy. */
const HTTP_PROXY = "http_proxy";

function withPortsInHosts(any: Uint8Array): Uint8Array {
  if (typeOf(any) !== ROUTES || textOf(bytesOf(any, 2), 1) !== HTTP_PROXY) return any;
  return each(any, 2, (routes) => joined(routes, encodeFields({ 14: false })));
}

function eachResource(
  message: Uint8Array,
  { response }: Variant,
  change: (any: Uint8Array) => Uint8Array | undefined,
): Uint8Array {
  const { resources, anyInResource } = response;
  return rewriteFields(message, (field, value) => {
    if (field !== resources) return value;
    if (anyInResource === undefined) return change(value);
    const any = fieldOf(value, anyInResource);
    const next = any && change(any);
    if (next === any || any === undefined) return value;
    return next && each(value, anyInResource, () => next);
  });
}

function each(bytes: Uint8Array, wanted: number, change: (value: Uint8Array) => Uint8Array): Uint8Array {
  return rewriteFields(bytes, (field, value) => (field === wanted ? change(value) : value));
}

/** Of a field that is there twice the last one counts. */
function joined(message: Uint8Array, more: Uint8Array): Uint8Array {
  const all = new Uint8Array(message.length + more.length);
  all.set(message);
  all.set(more, message.length);
  return all;
}
