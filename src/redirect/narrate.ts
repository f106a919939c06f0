import type { Machine, RedirectSettings } from "./capture.ts";

/** Variables that the reference lists, set or not; not all of them have an effect. */
const LISTED = [
  "ENVOY_PORT",
  "INBOUND_CAPTURE_PORT",
  "ISTIO_INBOUND_INTERCEPTION_MODE",
  "ISTIO_INBOUND_TPROXY_ROUTE_TABLE",
  "ISTIO_INBOUND_PORTS",
  "ISTIO_OUTBOUND_PORTS",
  "ISTIO_LOCAL_EXCLUDE_PORTS",
  "ISTIO_EXCLUDE_INTERFACES",
  "ISTIO_SERVICE_CIDR",
  "ISTIO_SERVICE_EXCLUDE_CIDR",
  "ISTIO_META_DNS_CAPTURE",
  "INVALID_DROP",
];

/** What the log says of the environment. Source: istio/istio tools/istio-iptables/pkg/capture logConfig. */
export function describeEnvironment(env: Readonly<Record<string, string | undefined>>, isNft: boolean): string {
  const lines = LISTED.map((name) => `${name}=${env[name] ?? ""}\n`);
  return `Istio ${isNft ? "nftables" : "iptables"} environment:\n${lines.join("")}`;
}

/** What the log says of the settings. Source: istio/istio tools/common/config Print. */
export function describeSettings(settings: RedirectSettings, { hasIpv6, dnsServers }: Machine): string {
  const servers = [dnsServers.IPv4, dnsServers.IPv6].map((list) => `[${list.join(" ")}]`);
  const rows: readonly (readonly [string, string | boolean])[] = [
    ["PROXY_PORT", settings.proxyPort],
    ["PROXY_INBOUND_CAPTURE_PORT", settings.inboundCapturePort],
    ["PROXY_TUNNEL_PORT", settings.inboundTunnelPort],
    ["PROXY_UID", settings.proxyUid],
    ["PROXY_GID", settings.proxyGid],
    ["INBOUND_INTERCEPTION_MODE", settings.inboundInterceptionMode],
    ["INBOUND_TPROXY_MARK", settings.inboundTproxyMark],
    ["INBOUND_TPROXY_ROUTE_TABLE", settings.inboundTproxyRouteTable],
    ["INBOUND_PORTS_INCLUDE", settings.inboundPortsInclude],
    ["INBOUND_PORTS_EXCLUDE", settings.inboundPortsExclude],
    ["OUTBOUND_OWNER_GROUPS_INCLUDE", settings.ownerGroupsInclude],
    ["OUTBOUND_OWNER_GROUPS_EXCLUDE", settings.ownerGroupsExclude],
    ["OUTBOUND_IP_RANGES_INCLUDE", settings.outboundIpRangesInclude],
    ["OUTBOUND_IP_RANGES_EXCLUDE", settings.outboundIpRangesExclude],
    ["OUTBOUND_PORTS_INCLUDE", settings.outboundPortsInclude],
    ["OUTBOUND_PORTS_EXCLUDE", settings.outboundPortsExclude],
    ["KUBE_VIRT_INTERFACES", settings.rerouteVirtualInterfaces],
    ["ENABLE_INBOUND_IPV6", hasIpv6],
    ["DUAL_STACK", settings.dualStack],
    ["DNS_CAPTURE", settings.redirectDns],
    ["DROP_INVALID", settings.dropInvalid],
    ["CAPTURE_ALL_DNS", settings.captureAllDns],
    ["DNS_SERVERS", servers.join(",")],
    ["NETWORK_NAMESPACE", settings.networkNamespace],
    ["CNI_MODE", settings.cniMode],
    ["EXCLUDE_INTERFACES", settings.excludeInterfaces],
    ["RECONCILE", settings.reconcile],
    ["CLEANUP_ONLY", settings.cleanupOnly],
    ["FORCE_APPLY", settings.forceApply],
    ["NATIVE_NFTABLES", settings.nativeNftables],
    ["FORCE_IPTABLES_BINARY", settings.forceIptablesBinary],
  ];
  return `Istio config:\n${rows.map(([name, value]) => `${name}=${value}\n`).join("")}`;
}
