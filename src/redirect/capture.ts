/** A version of IP; iptables keeps the rules of each apart, nftables has them in one table. */
export type Family = "IPv4" | "IPv6";

/** How a run is asked for, as texts of the command line or of variables. Source: istio/istio tools/common/config. */
export interface RedirectSettings {
  /** Where Envoy listens for outbound TCP. */
  readonly proxyPort: string;
  /** Where Envoy listens for inbound TCP. */
  readonly inboundCapturePort: string;
  /** HBONE; never redirected. */
  readonly inboundTunnelPort: string;
  /** Comma lists of users and groups that are never redirected; empty: the user of Envoy, and the same as the users. */
  readonly proxyUid: string;
  readonly proxyGid: string;
  /** `TPROXY`; any other value redirects. */
  readonly inboundInterceptionMode: string;
  readonly inboundTproxyMark: string;
  readonly inboundTproxyRouteTable: string;
  /** `*`, a comma list, or empty for none; the exclusions count with `*` only. */
  readonly inboundPortsInclude: string;
  readonly inboundPortsExclude: string;
  /** `*`, a comma list of CIDRs, or empty for none. */
  readonly outboundIpRangesInclude: string;
  readonly outboundIpRangesExclude: string;
  readonly outboundPortsInclude: string;
  readonly outboundPortsExclude: string;
  readonly excludeInterfaces: string;
  /** Interfaces whose inbound traffic counts as outbound. */
  readonly rerouteVirtualInterfaces: string;
  /** `*` or a comma list of groups that are redirected; the exclusions count with `*` only. */
  readonly ownerGroupsInclude: string;
  readonly ownerGroupsExclude: string;
  /** What counts as the host's own IPv4 loopback address. */
  readonly hostIpv4LoopbackCidr: string;
  readonly redirectDns: boolean;
  readonly captureAllDns: boolean;
  readonly dropInvalid: boolean;
  readonly dualStack: boolean;
  readonly dryRun: boolean;
  readonly skipRuleApply: boolean;
  readonly runValidation: boolean;
  readonly reconcile: boolean;
  readonly cleanupOnly: boolean;
  readonly forceApply: boolean;
  readonly nativeNftables: boolean;
  readonly cniMode: boolean;
  /** Path of a network namespace; empty for that of the process. */
  readonly networkNamespace: string;
  /** `legacy`, `nft`, or empty. */
  readonly forceIptablesBinary: string;
  readonly iptablesProbePort: number;
  readonly probeTimeoutMs: number;
}

/** What the machine has to say. */
export interface Machine {
  /** Whether rules for IPv6 are wanted. */
  readonly hasIpv6: boolean;
  /** Of the address that counts as the host's own. */
  readonly hostFamily: Family;
  /** Of resolv.conf; empty where they do not count. */
  readonly dnsServers: Readonly<Record<Family, readonly string[]>>;
}

/** Everything that decides the rules, checked. Texts stand in the rules as they stand here. */
export interface Capture {
  readonly ports: { readonly outbound: string; readonly inbound: string; readonly tunnel: string };
  readonly uids: readonly string[];
  readonly gids: readonly string[];
  readonly isTproxy: boolean;
  readonly tproxyMark: string;
  /** Undefined: nothing inbound is captured. */
  readonly inboundPorts: "*" | readonly string[] | undefined;
  readonly excludedInboundPorts: readonly string[];
  /** Of the families that are captured. */
  readonly included: "*" | Readonly<Record<Family, readonly string[]>>;
  readonly excluded: Readonly<Record<Family, readonly string[]>>;
  /** A loopback address is among the ranges that are captured. */
  readonly includesLoopback: boolean;
  readonly includedOutboundPorts: readonly string[];
  readonly excludedOutboundPorts: readonly string[];
  readonly excludedInterfaces: readonly string[];
  readonly virtualInterfaces: readonly string[];
  readonly ownerGroups: { readonly only: readonly string[] } | { readonly allBut: readonly string[] };
  /** What counts as the host's own loopback address. */
  readonly loopback: Readonly<Record<Family, string>>;
  readonly dropsInvalid: boolean;
  /** Undefined: questions of DNS are left alone. */
  readonly dns: DnsCapture | undefined;
  /** In this order. */
  readonly families: readonly Family[];
}

/** To which servers questions of DNS are captured: any, or those of resolv.conf. */
export type DnsCapture = "any server" | Readonly<Record<Family, readonly string[]>>;

/** Where Envoy's inbound passthrough calls come from: never captured. */
export const PASSTHROUGH: Readonly<Record<Family, string>> = { IPv4: "127.0.0.6/32", IPv6: "::6/128" };

/** The agent's DNS server. */
export const DNS_PORT = "15053";

/** Marks calls of Envoy to its own workload (TPROXY). */
export const OUTBOUND_MARK = "1338";
