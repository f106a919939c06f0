import type { connectionLimit, Logger, Metrics } from "../base/index.ts";
import { createAnswerer } from "./answer-query.ts";
import { createForwarder } from "./forward.ts";
import { bindDns } from "./listen.ts";
import { buildLookupTable, type LookupTable, type Place, withDerivedNames } from "./lookup-table.ts";
import { decodeNameTable, nameTableJson } from "./name-table.ts";
import { placeOf, USUAL_ADDRESS } from "./place.ts";
import { readUpstreams } from "./resolv-conf.ts";

export interface DnsOptions {
  /** `DNS_PROXY_ADDR`; empty for localhost:15053. */
  readonly address: string;
  readonly isRoot: boolean;
  /** Reads a file; rejects when it is not there. */
  readonly readFile: (path: string) => Promise<string>;
  readonly limit: ReturnType<typeof connectionLimit>;
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
export async function openDnsServer({ address, isRoot, readFile, limit, log }: DnsOptions): Promise<DnsServer> {
  const asksPort53 = /:0*53$/.test(address);
  if (asksPort53 && !isRoot) log.error(`only root can listen on "${address}", listening on ${USUAL_ADDRESS} instead`);
  const isAtPort53 = asksPort53 && isRoot;
  const upstreams = readUpstreams(await resolvConf(isAtPort53, readFile));
  const place = placeOf({ address: asksPort53 && !isRoot ? "" : address, servers: upstreams.servers });
  const sockets = await bindDns(place.hosts, place.port, limit);
  const closing = new AbortController();
  let around: Place = { namespace: "", domain: "", search: upstreams.search };
  let message: Uint8Array | undefined;
  let table: LookupTable | undefined;
  return {
    addresses: sockets.addresses,
    serve({ namespace, domain, isParallel, timeoutMs, metrics, upstreamPort: port = 53 }) {
      around = { ...around, namespace, domain };
      if (message !== undefined) table = buildLookupTable(decodeNameTable(message), around);
      const forward = createForwarder({ servers: upstreams.servers, timeoutMs, isParallel, port, log });
      const stop = closing.signal;
      sockets.serve(createAnswerer({ table: () => table, forward, isForwardingEarly: isAtPort53, stop, log, metrics }));
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
  return readFile(SAVED_RESOLV_CONF).catch(() => readFile(RESOLV_CONF));
}
