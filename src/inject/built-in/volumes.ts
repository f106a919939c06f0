import { MOUNTS } from "../../istio/index.ts";
import { type Tree, treeOf } from "../pod/json.ts";
import { BOOTSTRAP } from "./environment.ts";
import type { Facts } from "./facts.ts";

const fieldFile = (path: string): Tree => ({ path, fieldRef: { fieldPath: `metadata.${path}` } });

/** The volumes that the proxy's container mounts. */
export function volumesOf(facts: Facts, of: "sidecar" | "gateway"): readonly Tree[] {
  const { data, annotations, global } = facts;
  const root = String(global.trustBundleName || "istio-ca-root-cert");
  const crl = String(treeOf(data.values.pilot).crlConfigMapName || "istio-ca-crl");
  const token = { path: "istio-token", expirationSeconds: 43_200, audience: treeOf(treeOf(global.sds).token).aud };
  const bootstrap = annotations[BOOTSTRAP];
  return [
    ...["workload-socket", "credential-socket", "workload-certs"].map((name) => ({ name, emptyDir: {} })),
    ...(bootstrap === undefined ? [] : [{ name: "custom-bootstrap-volume", configMap: { name: bootstrap } }]),
    { name: "istio-envoy", emptyDir: { medium: "Memory" } },
    { name: "istio-data", emptyDir: {} },
    { name: "istio-podinfo", downwardAPI: { items: [fieldFile("labels"), fieldFile("annotations")] } },
    { name: "istio-token", projected: { sources: [{ serviceAccountToken: token }] } },
    ...(global.pilotCertProvider === "istiod" ? [{ name: "istiod-ca-cert", configMap: { name: root } }] : []),
    ...(of === "sidecar" ? [{ name: "istio-ca-crl", configMap: { name: crl, optional: true } }] : []),
    ...(of === "sidecar" ? named(annotations["sidecar.istio.io/userVolume"]) : []),
  ];
}

export function mountsOf({ annotations, global }: Facts, of: "sidecar" | "gateway"): readonly Tree[] {
  const hasRoot = global.pilotCertProvider === "istiod";
  const mount = (name: string, mountPath: string): Tree => ({ name, mountPath });
  return [
    mount("workload-socket", MOUNTS.workloadSocket),
    mount("credential-socket", MOUNTS.credentialSocket),
    mount("workload-certs", MOUNTS.workloadFiles),
    ...(hasRoot ? [mount("istiod-ca-cert", MOUNTS.root)] : []),
    ...(hasRoot && of === "sidecar" ? [mount("istio-ca-crl", MOUNTS.crl)] : []),
    mount("istio-data", MOUNTS.data),
    ...(annotations[BOOTSTRAP] === undefined ? [] : [mount("custom-bootstrap-volume", MOUNTS.customBootstrap)]),
    mount("istio-envoy", MOUNTS.config),
    mount("istio-token", MOUNTS.token),
    mount("istio-podinfo", MOUNTS.podInfo),
    ...(of === "sidecar" ? named(annotations["sidecar.istio.io/userVolumeMount"]) : []),
  ];
}

/** Of a JSON object by name, as the annotations have it: what stands in each, with its name. */
function named(json: string | undefined): readonly Tree[] {
  if (json === undefined) return [];
  try {
    const entries = Object.entries(treeOf(JSON.parse(json))).sort(([a], [b]) => (a < b ? -1 : 1));
    return entries.map(([name, value]) => ({ name, ...treeOf(value) }));
  } catch (error) {
    throw new Error("an annotation with volumes of the sidecar is no JSON", { cause: error });
  }
}
