import { setMaxListeners } from "node:events";
import {
  type connectionLimit,
  type Logger,
  type Metrics,
  readUpstreams,
  splitHostPort,
  systemCode,
} from "../base/index.ts";
import { createAnswerer } from "./answer-query.ts";
import { createForwarder } from "./forward.ts";
import { bindDns } from "./listen.ts";
import { buildLookupTable, type LookupTable, type Place, withDerivedNames } from "./lookup-table.ts";
import { decodeNameTable, nameTableJson } from "./name-table.ts";
import { placeOf, USUAL_ADDRESS } from "./place.ts";

export interface DnsOptions {
  /** `DNS_PROXY_ADDR`; empty for localhost:15053. */
  readonly address: string;
  readonly isRoot: boolean;
  /** Reads a file; rejects when it is not there. */
  readonly readFile: (path: string) => Promise<string>;
  readonly limit: ReturnType<typeof connectionLimit>;
  /** Sockets that questions to other servers may take together. */
  readonly mostExchanges: number;
  readonly log: Logger;
}

export interface DnsServing {
  readonly namespace: string;
  readonly domain: string;
  readonly isParallel: boolean;
  readonly timeoutMs: number;
  readonly metrics: Metrics;
  /** Of the other servers. Default 53. */
  readonly upstreamPort?: number;
}

/** A DNS server for the names of the mesh. Bound at once; it answers from `serve` on. */
export interface DnsServer extends AsyncDisposable {
  readonly addresses: readonly string[];
  serve(serving: DnsServing): void;
  /** Takes a NameTable message in the place of the last one. Throws when it is none. */
  take(message: Uint8Array): void;
  /** Whether names can be answered: a table has come, and stays whatever becomes of the control plane. */
  hasTable(): boolean;
  /** Names that are known; 0 without a table. */
  size(): number;
  /** The table with all derived names, JSON-ready; undefined without one. */
  dump(): object | undefined;
}

const RESOLV_CONF = "/etc/resolv.conf";
/** Where istio-cni and the VM package keep the file that resolv.conf was before it pointed here. */
const SAVED_RESOLV_CONF = "/var/lib/istio/resolv.conf";

/**
 * Listens. Port 53 is where resolv.conf itself points, on a VM: then the other servers are in the saved file, and
 * questions that come before the first table are passed on. Rejects with CONFIG_INVALID, ADDRESS_IN_USE,
 * ADDRESS_UNUSABLE or FILE_UNREADABLE.
 */
export async function openDnsServer(options: DnsOptions): Promise<DnsServer> {
  const { address, isRoot, readFile, limit, mostExchanges, log } = options;
  const asksPort53 = /:0*53$/.test(address);
  if (asksPort53 && !isRoot) log.error(`only root can listen on "${address}", listening on ${USUAL_ADDRESS} instead`);
  const isAtPort53 = asksPort53 && isRoot;
  const upstreams = readUpstreams(await resolvConf(isAtPort53, readFile));
  const place = placeOf({ address: asksPort53 && !isRoot ? "" : address, servers: upstreams.servers });
  const sockets = await bindDns(place.hosts, place.port, limit);
  const closing = new AbortController();
  setMaxListeners(0, closing.signal); // one for each question that is with another server
  let around: Place = { namespace: "", domain: "", search: upstreams.search };
  let message: Uint8Array | undefined;
  let table: LookupTable | undefined;
  return {
    addresses: sockets.addresses,
    serve({ namespace, domain, isParallel, timeoutMs, metrics, upstreamPort: port = 53 }) {
      around = { ...around, namespace, domain };
      if (message !== undefined) table = buildLookupTable(decodeNameTable(message), around);
      const servers = upstreams.servers.filter((server) => !isOneOf(sockets.addresses, server, port));
      if (servers.length < upstreams.servers.length) log.warn("resolv.conf names this DNS server itself: left out");
      sockets.serve(
        createAnswerer({
          table: () => table,
          forward: createForwarder({ servers, timeoutMs, isParallel, port, log }),
          isForwardingEarly: isAtPort53,
          mostForwarded: Math.ceil(mostExchanges / (isParallel ? Math.max(1, servers.length) : 1)),
          stop: closing.signal,
          log,
          metrics,
        }),
      );
    },
    take(received) {
      table = buildLookupTable(decodeNameTable(received), around);
      message = received;
    },
    hasTable: () => table !== undefined,
    size: () => table?.size ?? 0,
    dump: () => (message === undefined ? undefined : nameTableJson(withDerivedNames(decodeNameTable(message), around))),
    async [Symbol.asyncDispose]() {
      closing.abort(new Error("the agent is closing"));
      await sockets[Symbol.asyncDispose]();
    },
  };
}

async function resolvConf(isAtPort53: boolean, readFile: DnsOptions["readFile"]): Promise<string> {
  if (!isAtPort53) return readFile(RESOLV_CONF);
  return readFile(SAVED_RESOLV_CONF).catch((error: unknown) => {
    if (systemCode(error) === "ENOENT") return readFile(RESOLV_CONF);
    throw error;
  });
}

/** Whether a question to that server would come back to us. */
function isOneOf(addresses: readonly string[], server: string, port: number): boolean {
  return addresses.some((address) => {
    const bound = splitHostPort(address);
    if (typeof bound === "string" || bound.port !== String(port)) return false;
    const isEverywhere = bound.host === "::" || bound.host === "0.0.0.0";
    return bound.host === server || (isEverywhere && (server === "::1" || server.startsWith("127.")));
  });
}
