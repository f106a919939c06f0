import type { ProxyConfig } from "../istio/mesh/index.ts";
import type { AddressFamily, NodeDescription } from "../node/index.ts";
import type { TlsPaths } from "./client-tls.ts";
import type { BootstrapOptions, Warn } from "./options.ts";

/** What every section is made from, worked out once. */
export interface Sections extends BootstrapOptions {
  readonly node: NodeDescription;
  readonly family: AddressFamily;
  readonly annotations: Readonly<Record<string, string>>;
  readonly tlsPaths: TlsPaths;
  readonly xdsType: "DELTA_GRPC" | "GRPC";
  readonly isMetadataDiscovery: boolean;
  readonly isSelfDiscovery: boolean;
  readonly maxDownstreamConnections: number;
  readonly warn: Warn;
}

export function sectionsOf(options: BootstrapOptions, node: NodeDescription, warn: Warn): Sections {
  const isWaypoint = node.id.startsWith("waypoint~");
  const xdsType = options.isDeltaXds || isWaypoint ? "DELTA_GRPC" : "GRPC";
  const wantsDiscovery = node.typed.METADATA_DISCOVERY === true || isWaypoint;
  if (wantsDiscovery && xdsType === "GRPC") warn("Metadata discovery needs delta xDS; turning it off");
  const text = (name: string): string => String(node.typed[name] ?? "");
  return {
    ...options,
    node,
    warn,
    family: node.family,
    annotations: (node.typed.ANNOTATIONS ?? {}) as Readonly<Record<string, string>>,
    tlsPaths: {
      root: text("TLS_CLIENT_ROOT_CERT"),
      certChain: text("TLS_CLIENT_CERT_CHAIN"),
      key: text("TLS_CLIENT_KEY"),
    },
    xdsType,
    isMetadataDiscovery: wantsDiscovery && xdsType === "DELTA_GRPC",
    isSelfDiscovery: node.typed.ENABLE_SELF_DISCOVERY === true,
    maxDownstreamConnections: maxDownstreamConnections(options.proxy, warn),
  };
}

export function instanceIps(node: NodeDescription): readonly string[] {
  return (node.typed.INSTANCE_IPS ?? []) as readonly string[];
}

const UNLIMITED = 2_147_483_647;
const CONNECTIONS_METADATA = "ISTIO_META_GLOBAL_DOWNSTREAM_MAX_CONNECTIONS";
const CONNECTIONS_FLAG = "overload.global_downstream_max_connections";

/** Source: istio/istio pkg/bootstrap/config.go (getGlobalDownstreamMaxConnections). */
function maxDownstreamConnections(proxy: ProxyConfig, warn: Warn): number {
  const limit = proxy.connectionSettings?.globalDownstreamConnectionLimit ?? 0;
  if (limit > 0) return limit;
  const names = [
    ["proxyMetadata.ISTIO_META_GLOBAL_DOWNSTREAM_MAX_CONNECTIONS", proxy.proxyMetadata[CONNECTIONS_METADATA]],
    ["runtimeValues.overload.global_downstream_max_connections", proxy.runtimeValues[CONNECTIONS_FLAG]],
  ] as const;
  const [name, text] = names.find(([, one]) => one !== undefined && /^[+-]?\d+$/.test(one)) ?? [];
  if (text === undefined) return UNLIMITED;
  if (Number(text) < 1) warn(`${name} is ${text}: Envoy takes 1 or more and will not start`);
  return Number(text);
}
