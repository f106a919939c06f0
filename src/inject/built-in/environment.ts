import { escapeGoJson } from "../../base/index.ts";
import { MOUNTS } from "../../istio/index.ts";
import { encodeMessage, MESH_CONFIG, PROXY_CONFIG } from "../../istio/mesh/index.ts";
import { type Tree, treeOf, treesOf } from "../pod/json.ts";
import { otelAttributes, providersOf } from "../template/otel-attributes.ts";
import { proxyConfigJson } from "../template/proxy-config-text.ts";
import type { Facts } from "./facts.ts";

const text = (name: string, value: unknown): Tree => ({ name, value: String(value) });
const field = (name: string, fieldPath: string): Tree => ({ name, valueFrom: { fieldRef: { fieldPath } } });
const limit = (name: string, resource: string): Tree => ({
  name,
  valueFrom: { resourceFieldRef: { resource, divisor: "1" } },
});
const when = (condition: unknown, ...variables: readonly Tree[]): readonly Tree[] => (condition ? variables : []);

/** The variables of the proxy's container, in the order of Istio's templates. */
export function environmentOf(facts: Facts, of: "sidecar" | "gateway"): readonly Tree[] {
  const { data, annotations, labels, global } = facts;
  const isSidecar = of === "sidecar";
  const { name, namespace, apiVersion, kind } = data.workload;
  const trustDomain = data.mesh.trustDomain || global.trustDomain;
  const meshId = global.meshID || trustDomain;
  const workload = (isSidecar && labels["service.istio.io/workload-name"]) || name;
  const owner = `kubernetes://apis/${apiVersion}/namespaces/${namespace || "default"}/${kind.toLowerCase()}s/${name}`;
  const isLegacy = isSidecar && data.mesh.inboundTrafficPolicy?.mode === "LOCALHOST";
  const containers = text("ISTIO_META_APP_CONTAINERS", facts.names.join(","));
  const otel = isSidecar ? otelOf(facts) : "";
  return [
    ...when(isLegacy, text("REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION", true)),
    text("PILOT_CERT_PROVIDER", global.pilotCertProvider),
    text("CA_ADDR", global.caAddress || istiodOf(facts)),
    field("POD_NAME", "metadata.name"),
    field("POD_NAMESPACE", "metadata.namespace"),
    field("INSTANCE_IP", "status.podIP"),
    field("SERVICE_ACCOUNT", "spec.serviceAccountName"),
    field("HOST_IP", "status.hostIP"),
    limit("ISTIO_CPU_LIMIT", "limits.cpu"),
    text("PROXY_CONFIG", `${proxyConfigJson(encodeMessage(PROXY_CONFIG, data.proxy))}\n`),
    text("ISTIO_META_POD_PORTS", portsText(data.pod)),
    ...when(isSidecar, containers),
    limit("GOMEMLIMIT", "limits.memory"),
    limit("GOMAXPROCS", "limits.cpu"),
    ...when(!isSidecar, containers),
    text("ISTIO_META_CLUSTER_ID", treeOf(global.multiCluster).clusterName || "Kubernetes"),
    field("ISTIO_META_NODE_NAME", "spec.nodeName"),
    text("ISTIO_META_INTERCEPTION_MODE", isSidecar ? facts.mode : data.proxy.interceptionMode),
    ...when(global.network, text("ISTIO_META_NETWORK", global.network)),
    ...when(workload, text("ISTIO_META_WORKLOAD_NAME", workload)),
    ...when(apiVersion && name, text("ISTIO_META_OWNER", owner)),
    ...when(
      annotations[BOOTSTRAP] !== undefined,
      text("ISTIO_BOOTSTRAP_OVERRIDE", `${MOUNTS.customBootstrap}/custom_bootstrap.json`),
    ),
    ...when(meshId, text("ISTIO_META_MESH_ID", meshId)),
    ...when(trustDomain, text("TRUST_DOMAIN", trustDomain)),
    ...when(otel, text("OTEL_RESOURCE_ATTRIBUTES", otel)),
    ...proxyMetadataOf(facts),
  ];
}

/** The annotation that names a ConfigMap with a bootstrap of the user's own. */
export const BOOTSTRAP = "sidecar.istio.io/bootstrapOverride";

/** `proxyMetadata` as variables, in the order of their names. */
export function proxyMetadataOf({ data }: Facts): readonly Tree[] {
  const entries = Object.entries(data.proxy.proxyMetadata).sort(([a], [b]) => (a < b ? -1 : 1));
  return entries.map(([name, value]) => text(name, value));
}

function istiodOf({ data, global }: Facts): string {
  const revision = String(data.values.revision ?? "");
  return `istiod${revision === "" ? "" : `-${revision}`}.${global.istioNamespace}.svc:15012`;
}

/** A list of JSON in the lines that the templates give it. */
function portsText(pod: Tree): string {
  const ports = treesOf(treeOf(pod.spec).containers).flatMap((container) => treesOf(container.ports));
  const lines = ports.map((port, at) => `\n    ${at === 0 ? "" : ","}${escapeGoJson(JSON.stringify(port))}`);
  return `[${lines.join("")}\n]`;
}

function otelOf({ data, annotations, labels }: Facts): string {
  return otelAttributes({
    providers: providersOf(encodeMessage(MESH_CONFIG, data.mesh)),
    ...{ annotations, labels },
    namespace: data.workload.namespace,
    containers: treesOf(treeOf(data.pod.spec).containers),
  });
}
