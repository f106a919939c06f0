import type { KubeObject } from "./kube-api.ts";

interface IstiodPorts {
  readonly plain: number;
  readonly xds: number;
  readonly webhook: number;
  readonly metrics: number;
}

/** Fields of MeshConfig. */
export type MeshFields = Readonly<Record<string, unknown>>;

/**
 * The mesh, and a pod and a service that stand for the istiod that runs beside the cluster, so that a port-forward finds
 * it. `accessLogFile` is what most meshes set, `defaultProviders` what Istio's charts do.
 */
export function istiodObjects(ports: IstiodPorts, fields: MeshFields = {}): readonly KubeObject[] {
  const labels = { app: "istiod", istio: "pilot", "istio.io/rev": "default" };
  const here = { namespace: "istio-system" };
  const mesh = {
    trustDomain: "cluster.local",
    rootNamespace: "istio-system",
    accessLogFile: "/dev/stdout",
    defaultProviders: { metrics: ["prometheus"] },
    ...fields,
  };
  return [
    { apiVersion: "v1", kind: "Namespace", metadata: { name: "istio-system" } },
    { apiVersion: "v1", kind: "ServiceAccount", metadata: { ...here, name: "default" } },
    { apiVersion: "v1", kind: "ConfigMap", metadata: { ...here, name: "istio" }, data: { mesh: JSON.stringify(mesh) } },
    {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { ...here, name: "istiod-0", labels, annotations: { "cluster.test/address": "127.0.0.1" } },
      spec: { containers: [{ name: "discovery", image: "none" }] },
    },
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { ...here, name: "istiod", labels },
      spec: {
        selector: { app: "istiod" },
        ports: [
          { name: "grpc-xds", port: 15010, targetPort: ports.plain },
          { name: "https-dns", port: 15012, targetPort: ports.xds },
          { name: "https-webhook", port: 443, targetPort: ports.webhook },
          { name: "http-monitoring", port: 15014, targetPort: ports.metrics },
        ],
      },
    },
  ];
}
