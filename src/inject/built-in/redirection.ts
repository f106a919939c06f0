import { type Tree, treeOf } from "../pod/json.ts";
import { proxyMetadataOf } from "./environment.ts";
import { type Facts, imageFor, pullPolicyOf, resourcesOf } from "./facts.ts";

const TRAFFIC = "traffic.sidecar.istio.io/";

/** The container that sends the pod's traffic to the proxy, or with CNI looks whether that is done; none for mode NONE. */
export function redirectionOf(facts: Facts): readonly Tree[] {
  if (facts.mode === "NONE") return [];
  const { data, hasCni } = facts;
  const env = proxyMetadataOf(facts);
  return [
    {
      name: hasCni ? "istio-validation" : "istio-init",
      image: imageFor(facts, data.proxyInitImage),
      args: argumentsOf(facts),
      ...pullPolicyOf(facts),
      ...(env.length > 0 && { env }),
      resources: resourcesOf(facts),
      securityContext: securityOf(facts),
    },
  ];
}

/** Annotations of a pod of which a CNI plugin takes what is redirected. */
export function cniAnnotations({ annotation, annotations, proxy, mode, statusPort }: Facts): Tree {
  const stated = (name: string, value: string): Tree => (value === "" ? {} : { [name]: value });
  const value = (name: string, usual: unknown): Tree =>
    stated(`${TRAFFIC}${name}`, annotation(`${TRAFFIC}${name}`, usual));
  return {
    "sidecar.istio.io/interceptionMode": mode,
    ...value("includeOutboundIPRanges", proxy.includeIPRanges),
    ...value("excludeOutboundIPRanges", proxy.excludeIPRanges),
    [`${TRAFFIC}includeInboundPorts`]: annotation(`${TRAFFIC}includeInboundPorts`, proxy.includeInboundPorts),
    [`${TRAFFIC}excludeInboundPorts`]: withPort(
      annotation(`${TRAFFIC}excludeInboundPorts`, proxy.excludeInboundPorts),
      statusPort,
    ),
    ...value("includeOutboundPorts", proxy.includeOutboundPorts),
    ...value("excludeOutboundPorts", proxy.excludeOutboundPorts),
    ...value("kubevirtInterfaces", ""),
    ...stated("istio.io/reroute-virtual-interfaces", annotations["istio.io/reroute-virtual-interfaces"] ?? ""),
    ...value("excludeInterfaces", ""),
  };
}

function argumentsOf(facts: Facts): readonly string[] {
  const { data, annotation, annotations, proxy, global, mode, hasCni, statusPort } = facts;
  const traffic = (name: string, usual: unknown): string => annotation(`${TRAFFIC}${name}`, usual);
  const excluded = withPort(traffic("excludeInboundPorts", proxy.excludeInboundPorts), statusPort);
  const optional = (flag: string, name: string, usual: unknown): readonly string[] =>
    annotations[`${TRAFFIC}${name}`] === undefined && !usual ? [] : [flag, traffic(name, usual)];
  const rerouted = annotations["istio.io/reroute-virtual-interfaces"] ?? annotations[`${TRAFFIC}kubevirtInterfaces`];
  return [
    "istio-iptables",
    ...["-p", String(data.mesh.proxyListenPort || 15_001), "-z", String(data.mesh.proxyInboundListenPort || 15_006)],
    ...["-u", "1337", "-m", mode],
    ...["-i", traffic("includeOutboundIPRanges", proxy.includeIPRanges)],
    ...["-x", traffic("excludeOutboundIPRanges", proxy.excludeIPRanges)],
    ...["-b", traffic("includeInboundPorts", proxy.includeInboundPorts)],
    ...["-d", excluded === "" ? "15090,15021" : `15090,15021,${excluded}`],
    ...optional("-q", "includeOutboundPorts", proxy.includeOutboundPorts),
    ...optional("-o", "excludeOutboundPorts", proxy.excludeOutboundPorts),
    ...(rerouted === undefined ? [] : ["-k", rerouted]),
    ...optional("-c", "excludeInterfaces", ""),
    `--log_output_level=${annotation("sidecar.istio.io/agentLogLevel", treeOf(global.logging).level)}`,
    ...(global.logAsJson === true ? ["--log_as_json"] : []),
    ...(hasCni ? ["--run-validation", "--skip-rule-apply"] : []),
    ...(!hasCni && treeOf(global.proxy_init).forceApplyIptables === true ? ["--force-apply"] : []),
    ...(global.nativeNftables === true ? ["--native-nftables"] : []),
  ];
}

/** The status port is never redirected. */
function withPort(excluded: string, port: string): string {
  if (port === "" || port === "0" || excluded.split(",").includes(port)) return excluded;
  const others = excluded.split(",").map((one) => one.trim());
  return [...others.filter((one) => one !== ""), port].join(",");
}

function securityOf({ proxy, hasCni }: Facts): Tree {
  const user = hasCni ? 1337 : 0;
  return {
    allowPrivilegeEscalation: proxy.privileged,
    privileged: proxy.privileged,
    capabilities: hasCni ? { drop: ["ALL"] } : { add: ["NET_ADMIN", "NET_RAW"], drop: ["ALL"] },
    readOnlyRootFilesystem: hasCni,
    ...{ runAsUser: user, runAsGroup: user, runAsNonRoot: hasCni },
  };
}
