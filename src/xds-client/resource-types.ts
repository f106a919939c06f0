import { nearest } from "../base/index.ts";
import { nameIn } from "../proto/wire.ts";

const TYPE_PREFIX = "type.googleapis.com/";

/** Short names, as Envoy and istioctl have them. */
const SHORT_NAMES = {
  cds: "envoy.config.cluster.v3.Cluster",
  eds: "envoy.config.endpoint.v3.ClusterLoadAssignment",
  lds: "envoy.config.listener.v3.Listener",
  rds: "envoy.config.route.v3.RouteConfiguration",
  srds: "envoy.config.route.v3.ScopedRouteConfiguration",
  vhds: "envoy.config.route.v3.VirtualHost",
  sds: "envoy.extensions.transport_sockets.tls.v3.Secret",
  ecds: "envoy.config.core.v3.TypedExtensionConfig",
  rtds: "envoy.service.runtime.v3.Runtime",
  nds: "istio.networking.nds.v1.NameTable",
  pcds: "istio.mesh.v1alpha1.ProxyConfig",
  wds: "istio.workload.Address",
  wads: "istio.security.Authorization",
} as const;

export type ShortName = keyof typeof SHORT_NAMES;

/** What people call them otherwise. */
const OTHER_NAMES: Readonly<Record<string, ShortName>> = {
  cluster: "cds",
  clusters: "cds",
  endpoint: "eds",
  endpoints: "eds",
  listener: "lds",
  listeners: "lds",
  route: "rds",
  routes: "rds",
  secret: "sds",
  secrets: "sds",
  extension: "ecds",
  extensions: "ecds",
  names: "nds",
};

export const KNOWN_NAMES: readonly string[] = Object.keys(SHORT_NAMES);

export function typeUrlOf(name: ShortName): string {
  return `${TYPE_PREFIX}${SHORT_NAMES[name]}`;
}

/** The type URL that a word means: a short name in any case, the full name of a message, or a type URL; undefined for any other. */
export function readType(word: string): string | undefined {
  const name = word.toLowerCase();
  if (isShortName(name)) return typeUrlOf(name);
  const other = Object.hasOwn(OTHER_NAMES, name) ? OTHER_NAMES[name] : undefined;
  if (other !== undefined) return typeUrlOf(other);
  if (word.includes("/")) return word;
  return word.includes(".") ? `${TYPE_PREFIX}${word}` : undefined;
}

/** The name that is closest to a mistyped one. */
export function nearestType(word: string): string | undefined {
  return nearest(word.toLowerCase(), [...KNOWN_NAMES, ...Object.keys(OTHER_NAMES)]);
}

/** `CDS` for the usual types, else the last part of the type URL. */
export function showType(typeUrl: string): string {
  const found = Object.entries(SHORT_NAMES).find(([, typeName]) => typeName === nameIn(typeUrl));
  return found === undefined ? typeUrl.replace(TYPE_PREFIX, "") : found[0].toUpperCase();
}

/** Types whose resources are asked for by name, and where the names stand that a client would ask for. */
const NAMED_BY: ReadonlyMap<string, readonly string[]> = new Map([
  [typeUrlOf("eds"), [typeUrlOf("cds")]],
  [typeUrlOf("rds"), [typeUrlOf("lds")]],
  [typeUrlOf("sds"), [typeUrlOf("lds"), typeUrlOf("cds")]],
  [typeUrlOf("ecds"), [typeUrlOf("lds")]],
]);

/** The types whose resources name those of this one; undefined where all of a type are asked for at once. */
export function namedBy(typeUrl: string): readonly string[] | undefined {
  return NAMED_BY.get(typeUrl);
}

/** What istiod says of itself. It answers each request for it anew, so that an acknowledgement would never end. Source: istio/istio pilot/pkg/xds/ads.go. */
export function isDebug(typeUrl: string): boolean {
  return typeUrl.replace(TYPE_PREFIX, "").startsWith("istio.io/debug");
}

function isShortName(word: string): word is ShortName {
  return Object.hasOwn(SHORT_NAMES, word);
}
