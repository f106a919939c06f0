import { create } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import type { EnvoyTypes } from "../../proto/envoy-types.ts";
import type { Connection, DiscoveryService } from "../ads/discovery-service.ts";
import { TYPE_PREFIX } from "../ads/resource-types.ts";
import { createDumps } from "./config-dump.ts";
import { clientConfig, connectionList, registry, syncStates } from "./reports.ts";

/** Answers what istiod answers below `/debug/`. Source: istio/istio pilot/pkg/xds/debug.go. */
export interface Debug {
  ask(command: string, query: URLSearchParams): DebugAnswer;
  /** The same over ADS, for istioctl; undefined for any other type. Source: istio/istio pilot/pkg/xds/{debuggen,statusgen}.go. */
  askByType(typeUrl: string, names: readonly string[]): readonly Any[] | undefined;
}

export interface DebugAnswer {
  readonly status: number;
  /** A text for people, or a document. */
  readonly body: unknown;
}

export interface DebugOptions {
  readonly discovery: Pick<DiscoveryService, "connections" | "snapshot">;
  readonly types: EnvoyTypes;
}

/** In the order of istiod's `/debug/list`. */
const COMMANDS = ["adsz", "config_dump", "connections", "ecdsz", "edsz", "ndsz", "registryz", "syncz"] as const;

export function createDebug({ discovery, types }: DebugOptions): Debug {
  const dumps = createDumps(discovery, types);
  const dump = (query: URLSearchParams, only?: string): DebugAnswer => {
    const proxyId = query.get("proxyID") ?? "";
    if (proxyId === "") return { status: 400, body: "You must provide a proxyID in the query string" };
    const found = discovery.connections().find(({ id }) => id.includes(proxyId));
    if (found === undefined) return { status: 404, body: NOT_CONNECTED };
    const wanted = only ?? query.get("types");
    return ok(wanted === null ? dumps.whole(found, query.has("include_eds")) : dumps.ofTypes(found, wanted.split(",")));
  };
  const answers: Readonly<Record<(typeof COMMANDS)[number], (query: URLSearchParams) => DebugAnswer>> = {
    adsz: (query) => ok(connectionList(chosen(discovery.connections(), query), { isDetailed: true })),
    connections: (query) => ok(connectionList(chosen(discovery.connections(), query), { isDetailed: false })),
    syncz: (query) => ok(syncStates(inNamespace(discovery.connections(), query.get("namespace")))),
    config_dump: (query) => dump(query),
    ecdsz: (query) => dump(query, "ECDS"),
    edsz: (query) => dump(query, "EDS"),
    ndsz: (query) => dump(query, "NDS"),
    registryz: () => ok(registry(discovery.snapshot().names)),
  };
  const ask = (command: string, query: URLSearchParams): DebugAnswer => {
    if (command === "list") return ok(COMMANDS);
    const answer = isCommand(command) ? answers[command](query) : undefined;
    return answer ?? { status: 404, body: `404 page not found; there are ${COMMANDS.join(", ")}, list` };
  };
  return {
    ask,
    askByType(typeUrl, names) {
      if (typeUrl === SYNC_TYPE) {
        const proxies = discovery.connections().filter(({ node }) => node.metadata?.GENERATOR !== "event"); // not who asks
        const states = proxies.map(clientConfig);
        return states.map((json) => pack(CLIENT_CONFIG, types.encode(CLIENT_CONFIG, json)));
      }
      if (typeUrl !== DEBUG_TYPE) return undefined;
      const [command = "", query = ""] = (names[0] ?? "").split("?", 2);
      const { body } = ask(command, new URLSearchParams(query));
      return [pack(DEBUG_TYPE, Buffer.from(typeof body === "string" ? body : JSON.stringify(body)))];
    },
  };
}

const DEBUG_TYPE = "istio.io/debug";
const SYNC_TYPE = "istio.io/debug/syncz";
const CLIENT_CONFIG = "envoy.service.status.v3.ClientConfig";

function pack(typeName: string, value: Uint8Array): Any {
  return create(AnySchema, { typeUrl: typeName.includes("/") ? typeName : `${TYPE_PREFIX}${typeName}`, value });
}

function isCommand(command: string): command is (typeof COMMANDS)[number] {
  return (COMMANDS as readonly string[]).includes(command);
}

const NOT_CONNECTED = "Proxy not connected to this Pilot instance. It may be connected to another instance.";

function ok(body: unknown): DebugAnswer {
  return { status: 200, body };
}

function chosen(connections: readonly Connection[], query: URLSearchParams): readonly Connection[] {
  const proxyId = query.get("proxyID");
  return proxyId === null ? connections : connections.filter(({ id }) => id.includes(proxyId));
}

function inNamespace(connections: readonly Connection[], namespace: string | null): readonly Connection[] {
  return namespace === null ? connections : connections.filter(({ node }) => node.metadata?.NAMESPACE === namespace);
}
