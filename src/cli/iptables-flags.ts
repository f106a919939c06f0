import type { RedirectSettings } from "../redirect/index.ts";
import type { FlagSpec } from "./contract/index.ts";

/** A flag of `iptables`. Its variables set it, too: the last one that is there counts, and the flag itself beats them. */
export interface RedirectFlag extends FlagSpec {
  readonly setting: keyof RedirectSettings;
  readonly variables: readonly string[];
}

/** A flag whose type is that of its default, and whose variable has its name, as far as a row says nothing else. */
type Row = Omit<RedirectFlag, "type" | "variables"> &
  Partial<Pick<RedirectFlag, "type" | "variables">> & {
    /** Variables after the one of the flag's name. */
    readonly also?: readonly string[];
  };

const ROWS: readonly Row[] = [
  {
    ...{ name: "envoy-port", shorthand: "p", setting: "proxyPort", default: "15001", value: "PORT", variables: [] },
    help: "Port of Envoy to which outbound TCP goes",
  },
  {
    ...{ name: "inbound-capture-port", shorthand: "z", setting: "inboundCapturePort", default: "15006", value: "PORT" },
    help: "Port of Envoy to which inbound TCP goes",
  },
  {
    ...{ name: "inbound-tunnel-port", shorthand: "e", setting: "inboundTunnelPort", default: "15008", value: "PORT" },
    help: "Port of HBONE, which is never redirected",
  },
  {
    ...{ name: "proxy-uid", shorthand: "u", setting: "proxyUid", default: "", value: "UIDS" },
    help: "Users that are not redirected; default: the one of ENVOY_USER, else 1337",
  },
  {
    ...{ name: "proxy-gid", shorthand: "g", setting: "proxyGid", default: "", value: "GIDS" },
    help: "Groups that are not redirected; default: the same as the users",
  },
  {
    ...{ name: "istio-inbound-interception-mode", shorthand: "m", setting: "inboundInterceptionMode", default: "" },
    ...{
      value: "MODE",
      help: "How inbound traffic comes to Envoy: TPROXY keeps source addresses, any other is REDIRECT",
    },
  },
  {
    ...{ name: "istio-inbound-ports", shorthand: "b", setting: "inboundPortsInclude", default: "", value: "PORTS" },
    help: "Inbound ports that are redirected: a comma list, * for all, empty for none",
  },
  {
    ...{ name: "istio-local-exclude-ports", shorthand: "d", setting: "inboundPortsExclude", default: "" },
    ...{ value: "PORTS", help: "Inbound ports that are not; counts only where all are redirected" },
  },
  {
    ...{ name: "istio-exclude-interfaces", shorthand: "c", setting: "excludeInterfaces", default: "", value: "NAMES" },
    help: "Interfaces whose traffic is left alone",
  },
  {
    ...{ name: "istio-service-cidr", shorthand: "i", setting: "outboundIpRangesInclude", default: "", value: "CIDRS" },
    help: "Outbound ranges that are redirected: a comma list of CIDRs, * for all, empty for none",
  },
  {
    ...{ name: "istio-service-exclude-cidr", shorthand: "x", setting: "outboundIpRangesExclude", default: "" },
    ...{ value: "CIDRS", help: "Outbound ranges that are not" },
  },
  {
    ...{ name: "istio-outbound-ports", shorthand: "q", setting: "outboundPortsInclude", default: "", value: "PORTS" },
    help: "Outbound ports that are always redirected",
  },
  {
    ...{ name: "istio-local-outbound-ports-exclude", shorthand: "o", setting: "outboundPortsExclude", default: "" },
    ...{ value: "PORTS", help: "Outbound ports that are never redirected, TCP and UDP" },
  },
  {
    ...{ name: "kube-virt-interfaces", shorthand: "k", setting: "rerouteVirtualInterfaces", default: "" },
    ...{ value: "NAMES", help: "Interfaces of virtual machines, whose inbound traffic counts as outbound" },
  },
  {
    ...{ name: "istio-inbound-tproxy-mark", shorthand: "t", setting: "inboundTproxyMark", default: "1337" },
    ...{ value: "MARK", help: "Mark of redirected packets with TPROXY" },
  },
  {
    ...{ name: "istio-inbound-tproxy-route-table", shorthand: "r", setting: "inboundTproxyRouteTable", default: "133" },
    ...{ value: "TABLE", help: "Routing table of those packets" },
  },
  {
    ...{ name: "dry-run", shorthand: "n", setting: "dryRun", default: false },
    help: "Show the rules, and change nothing",
  },
  {
    ...{ name: "iptables-probe-port", setting: "iptablesProbePort", default: 15_002, value: "PORT" },
    help: "Port that the check of --run-validation calls",
  },
  {
    ...{ name: "probe-timeout", type: "duration", setting: "probeTimeoutMs", default: "5s", value: "DURATION" },
    help: "Longest time of that check",
  },
  { name: "skip-rule-apply", setting: "skipRuleApply", default: false, help: "Change no rules" },
  {
    ...{ name: "run-validation", setting: "runValidation", default: false },
    help: "Check that calls are redirected; exit code 126 when they are not",
  },
  {
    ...{ name: "redirect-dns", setting: "redirectDns", default: false, also: ["ISTIO_META_DNS_CAPTURE"] },
    help: "Questions to the servers of /etc/resolv.conf go to the agent",
  },
  {
    ...{ name: "drop-invalid", setting: "dropInvalid", default: false, also: ["INVALID_DROP"] },
    help: "Drop packets that fit no connection, instead of resetting one",
  },
  {
    ...{ name: "dual-stack", setting: "dualStack", default: false, also: ["ISTIO_DUAL_STACK"] },
    help: "Rules for IPv6, too, where an interface has such an address",
  },
  {
    ...{ name: "capture-all-dns", setting: "captureAllDns", default: false },
    help: "With --redirect-dns: questions to any server go to the agent",
  },
  {
    ...{ name: "network-namespace", setting: "networkNamespace", default: "", value: "FILE" },
    help: "File of the network namespace whose rules are changed; default: that of the process",
  },
  {
    ...{ name: "cni-mode", setting: "cniMode", default: false },
    help: "The process is in that namespace already, and its file serves as the lock of iptables",
  },
  {
    ...{ name: "reconcile", setting: "reconcile", default: false },
    help: "Replace other rules of an earlier run, instead of failing",
  },
  { name: "cleanup-only", setting: "cleanupOnly", default: false, help: "Remove the rules" },
  {
    ...{ name: "force-apply", setting: "forceApply", default: false },
    help: "Apply the rules even where they seem to be there",
  },
  { name: "native-nftables", setting: "nativeNftables", default: false, help: "Use nft instead of iptables" },
  {
    ...{ name: "force-iptables-binary", setting: "forceIptablesBinary", default: "", value: "VARIANT" },
    help: "Which iptables: legacy or nft; default: legacy where it has rules, else nft",
  },
];

/** Flags and variables of the reference. Source: istio/istio tools/istio-iptables/pkg/cmd/root.go, tools/common/config. */
export const REDIRECT_FLAGS: readonly RedirectFlag[] = ROWS.map(({ also = [], ...row }) => ({
  type: typeof row.default === "boolean" ? "bool" : typeof row.default === "number" ? "int" : "string",
  variables: [row.name.toUpperCase().replaceAll("-", "_"), ...also],
  ...row,
}));

/** Variables that no flag stands for. */
export const REDIRECT_VARIABLES = [
  ["ISTIO_OUTBOUND_OWNER_GROUPS", "*", "Groups whose calls are redirected: a comma list, or * for all"],
  ["ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE", "", "Groups whose calls are not; counts only where all are redirected"],
  ["ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR", "127.0.0.1/32", "What counts as the workload's own loopback address"],
  ["ENVOY_USER", "istio-proxy", "User that is not redirected, where --proxy-uid is empty"],
  ["DRY_RUN_FILE_PATH", "", "File for the rules of a dry run, one line each"],
] as const;
