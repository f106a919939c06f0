import { GoInt, goMessage, goRecord } from "../../go-template/index.ts";
import { MESH_CONFIG, PROXY_CONFIG } from "../../istio/mesh/index.ts";
import type { TemplateData } from "../pod/injector.ts";
import { treeOf } from "../pod/json.ts";
import { goStruct } from "./go-pod.ts";

/** User and group of the proxy. Source: istio/istio pkg/config/constants. */
const PROXY_ID = 1337;

/** The root object of an injection template. Source: istio/istio pkg/kube/inject/inject.go (SidecarTemplateData). */
export function templateValues(data: TemplateData): object {
  const { pod, workload, mesh, values } = data;
  const { apiVersion, kind, name, namespace } = workload;
  const record = (fields: Readonly<Record<string, unknown>>, type: string): object =>
    goRecord(fields, { name: type, json: null });
  return record(
    {
      TypeMeta: record({ APIVersion: apiVersion, Kind: kind }, "v1.TypeMeta"),
      DeploymentMeta: record({ Name: name, Namespace: namespace }, "types.NamespacedName"),
      ObjectMeta: goStruct("ObjectMeta", treeOf(pod.metadata)),
      Spec: goStruct("PodSpec", treeOf(pod.spec)),
      ProxyConfig: goMessage(PROXY_CONFIG, data.proxy, "*v1alpha1.ProxyConfig"),
      MeshConfig: goMessage(MESH_CONFIG, mesh, "*v1alpha1.MeshConfig"),
      Values: values,
      Revision: data.revision,
      NativeSidecars: data.isNativeSidecar,
      ProxyImage: data.proxyImage,
      ProxyInitImage: data.proxyInitImage,
      ProxyUID: new GoInt(PROXY_ID, "int64"),
      ProxyGID: new GoInt(PROXY_ID, "int64"),
      InboundTrafficPolicyMode: mesh.inboundTrafficPolicy?.mode === "LOCALHOST" ? "localhost" : "passthrough",
      CompliancePolicy: "",
    },
    "inject.SidecarTemplateData",
  );
}
