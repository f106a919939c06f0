import type { LookupTable } from "./lookup-table.ts";
import { encodeAnswer, type Query, TYPE } from "./message.ts";

/**
 * Our own answer to a question, or undefined for one that belongs to the servers of resolv.conf: a name that the mesh does
 * not know, or a type other than A and AAAA. A known name without an address of that family gets an empty answer, never
 * NXDOMAIN: resolvers ask for both, and would take that for "no such name" (istio/istio issue 31250).
 * Source: istio/istio pkg/dns/client/dns.go (LookupHost).
 */
export function resolve(query: Query, table: LookupTable, limit: number): Buffer | undefined {
  if (query.type !== TYPE.A && query.type !== TYPE.AAAA) return undefined;
  const found = table.find(query.name);
  if (found === undefined) return undefined;
  const addresses = shuffled(query.type === TYPE.A ? found.v4 : found.v6);
  return encodeAnswer(query, { alias: found.alias, addresses }, limit);
}

/** In random order (Fisher and Yates): clients take the first address. The list itself where it has no other order. */
export function shuffled<T>(list: readonly T[]): readonly T[] {
  if (list.length < 2) return list;
  const copy = [...list];
  for (let at = copy.length - 1; at > 0; at--) {
    const other = Math.floor(Math.random() * (at + 1));
    [copy[at], copy[other]] = [copy[other] as T, copy[at] as T];
  }
  return copy;
}
