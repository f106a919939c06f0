import { readFields } from "../proto/wire.ts";

/** Source: istio/istio pkg/dns/proto/nds.proto (NameTable.NameInfo). */
export interface NameInfo {
  readonly ips: readonly string[];
  /** Where the name comes from: `Kubernetes`, `External` and others. */
  readonly registry: string;
  /** May contain dots, for the pods of a headless service. */
  readonly shortname: string;
  readonly namespace: string;
  readonly altHosts: readonly string[];
}

/** By host name, in the order of the message. */
export type NameTable = ReadonlyMap<string, NameInfo>;

/** Throws on bytes that are not protobuf. */
export function decodeNameTable(message: Uint8Array): NameTable {
  const table = new Map<string, NameInfo>();
  readFields(message, (field, reader) => {
    if (field !== 1) return false;
    const [host, info] = decodeEntry(reader.bytes());
    table.set(host, info);
    return true;
  });
  return table;
}

function decodeEntry(entry: Uint8Array): [string, NameInfo] {
  let host = "";
  let info: NameInfo = { ips: [], registry: "", shortname: "", namespace: "", altHosts: [] };
  readFields(entry, (field, reader) => {
    if (field === 1) host = reader.string();
    else if (field === 2) info = decodeInfo(reader.bytes());
    else return false;
    return true;
  });
  return [host, info];
}

function decodeInfo(bytes: Uint8Array): NameInfo {
  const [ips, altHosts]: [string[], string[]] = [[], []];
  const texts = new Map<number, string>();
  readFields(bytes, (field, reader) => {
    if (field === 1) ips.push(reader.string());
    else if (field === 5) altHosts.push(reader.string());
    else if (field >= 2 && field <= 4) texts.set(field, reader.string());
    else return false;
    return true;
  });
  const [registry = "", shortname = "", namespace = ""] = [texts.get(2), texts.get(3), texts.get(4)];
  return { ips, registry, shortname, namespace, altHosts };
}

/** As istiod's proto3 JSON: keys in order, empty fields left out. */
export function nameTableJson(table: NameTable): { readonly table: object } {
  const rows = [...table].sort(([a], [b]) => (a < b ? -1 : 1)).map(([host, info]) => [host, withoutEmpty(info)]);
  return { table: Object.fromEntries(rows) };
}

function withoutEmpty(info: NameInfo): object {
  return Object.fromEntries(Object.entries(info).filter(([, value]) => value.length > 0));
}
