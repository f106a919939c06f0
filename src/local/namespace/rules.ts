import type { RedirectSettings } from "../../redirect/index.ts";

/**
 * All TCP that leaves goes to Envoy. Nothing comes in: Envoy calls the application from inside. Envoy's process is not in the
 * namespace, so no user of it is left out: the largest id belongs to nobody. DNS needs no rule: resolv.conf names an address
 * of the namespace.
 */
export const NAMESPACE_RULES: RedirectSettings = {
  proxyPort: "15001",
  inboundCapturePort: "15006",
  inboundTunnelPort: "15008",
  proxyUid: "4294967294",
  proxyGid: "4294967294",
  inboundInterceptionMode: "REDIRECT",
  inboundTproxyMark: "1337",
  inboundTproxyRouteTable: "133",
  inboundPortsInclude: "",
  inboundPortsExclude: "",
  outboundIpRangesInclude: "*",
  outboundIpRangesExclude: "",
  outboundPortsInclude: "",
  outboundPortsExclude: "",
  excludeInterfaces: "",
  rerouteVirtualInterfaces: "",
  ownerGroupsInclude: "*",
  ownerGroupsExclude: "",
  hostIpv4LoopbackCidr: "127.0.0.1/32",
  redirectDns: false,
  captureAllDns: false,
  dropInvalid: false,
  dualStack: false,
  dryRun: false,
  skipRuleApply: false,
  runValidation: false,
  reconcile: false,
  cleanupOnly: false,
  forceApply: false,
  nativeNftables: false,
  cniMode: false,
  networkNamespace: "",
  forceIptablesBinary: "",
  iptablesProbePort: 15_002,
  probeTimeoutMs: 5_000,
};
