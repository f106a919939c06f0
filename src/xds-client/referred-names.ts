import type { JsonValue } from "@bufbuild/protobuf";
import { typeUrlOf } from "./resource-types.ts";

/**
 * The names of another type that a resource in protobuf's JSON form refers to, as Envoy would ask the same stream for them:
 * endpoints of a cluster, routes, secrets and extensions of a listener. Names that come from elsewhere (a file, another
 * server) are left out.
 */
export function referredNames(resource: JsonValue, typeUrl: string): string[] {
  const found = new Set<string>();
  const take = TAKE[typeUrl];
  if (take !== undefined) walk(resource, (message) => take(message, found));
  return [...found];
}

type Message = Readonly<Record<string, JsonValue | undefined>>;

const TAKE: Readonly<Record<string, (message: Message, found: Set<string>) => void>> = {
  [typeUrlOf("eds")]: ({ type, name, edsClusterConfig: eds }, found) => {
    if (type !== "EDS" || !isMessage(eds) || !isFromAds(eds.edsConfig)) return;
    add(found, isText(eds.serviceName) ? eds.serviceName : name);
  },
  [typeUrlOf("rds")]: ({ rds }, found) => {
    if (isMessage(rds) && isFromAds(rds.configSource)) add(found, rds.routeConfigName);
  },
  [typeUrlOf("sds")]: ({ sdsConfig, name }, found) => {
    if (isFromAds(sdsConfig)) add(found, name);
  },
  [typeUrlOf("ecds")]: ({ configDiscovery: discovery, name }, found) => {
    if (isMessage(discovery) && isFromAds(discovery.configSource)) add(found, name);
  },
};

/** By ADS, or by whichever server the resource itself came from. */
function isFromAds(source: JsonValue | undefined): boolean {
  return isMessage(source) && (source.ads !== undefined || source.self !== undefined);
}

function walk(value: JsonValue | undefined, look: (message: Message) => void): void {
  if (Array.isArray(value)) for (const item of value) walk(item, look);
  else if (isMessage(value)) {
    look(value);
    for (const item of Object.values(value)) walk(item, look);
  }
}

function add(found: Set<string>, name: JsonValue | undefined): void {
  if (isText(name)) found.add(name);
}

function isText(value: JsonValue | undefined): value is string {
  return typeof value === "string" && value !== "";
}

function isMessage(value: JsonValue | undefined): value is { [name: string]: JsonValue } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
