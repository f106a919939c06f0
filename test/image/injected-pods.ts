import { gatewayApiCrds } from "../cluster/gateway-api.ts";
import { type OwnCluster, startOwnCluster } from "../cluster/own-cluster.ts";
import type { Cluster } from "../cluster/start-cluster.ts";
import { askWebhook, injectorConfigMap } from "../cluster/webhook.ts";
import { ECHO_PORT, NODE_ADDRESS } from "./pod-network.ts";
import type { PodFacts } from "./pod-spec.ts";

/** A cluster whose istiod injects, and makes the Deployments of gateways. */
export interface InjectingCluster extends AsyncDisposable {
  readonly cluster: Cluster;
  /** What the real webhook makes of a pod with one container `app`. */
  injected(annotations: Readonly<Record<string, string>>, spec?: object): Promise<InjectedPod>;
  /** A pod of the Deployment that the real istiod makes for a Gateway; undefined without the CRDs of the Gateway API. */
  ofGateway(gatewayClassName: string): Promise<InjectedPod | undefined>;
}

export type InjectedPod = Omit<PodFacts, "address" | "nodeAddress">;

/** A host that nobody but the mesh knows; its address is one that only redirection leads anywhere. */
export const WEB = { host: "web.shop.test", address: "10.0.0.1" };

export async function startInjectingCluster(): Promise<InjectingCluster> {
  const crds = await gatewayApiCrds();
  const own: OwnCluster = await startOwnCluster({
    env: { PILOT_ENABLE_AMBIENT: "true" },
    objects: [await injectorConfigMap(), ...(crds ?? [])],
  });
  const cluster = await own.enter();
  const { namespace } = cluster;
  await cluster.apply(serviceEntry());
  const webhook = await askWebhook(cluster);
  return {
    cluster,
    async injected(annotations, spec) {
      const metadata = { name: "shop-1", labels: { app: "shop", version: "v1" }, annotations };
      const pod = { apiVersion: "v1", kind: "Pod", metadata, spec: { containers: [APP], ...spec } };
      return factsOf("shop-1", namespace, await webhook.inject(pod, namespace));
    },
    async ofGateway(gatewayClassName) {
      if (crds === undefined) return undefined;
      const isWaypoint = gatewayClassName === "istio-waypoint";
      const listener = isWaypoint ? { port: 15_008, protocol: "HBONE" } : { port: 80, protocol: "HTTP" };
      const name = isWaypoint ? "wp" : "gw";
      await cluster.apply({
        ...{ apiVersion: "gateway.networking.k8s.io/v1", kind: "Gateway", metadata: { name } },
        spec: { gatewayClassName, listeners: [{ name: "in", ...listener }] },
      });
      const made = isWaypoint ? name : `${name}-${gatewayClassName}`;
      const path = `/apis/apps/v1/namespaces/${namespace}/deployments/${made}`;
      const { spec } = await cluster.api.until(path, () => true);
      return factsOf(`${made}-1`, namespace, spec.template);
    },
    async [Symbol.asyncDispose]() {
      await cluster[Symbol.asyncDispose]();
      await own[Symbol.asyncDispose]();
    },
  };
}

const APP = {
  name: "app",
  image: "app",
  resources: {},
  ports: [{ name: "http", containerPort: 8_080 }],
  readinessProbe: { httpGet: { path: "/", port: 8_080 }, periodSeconds: 1 },
};

// biome-ignore lint/suspicious/noExplicitAny: a pod, or the template of one
function factsOf(name: string, namespace: string, { metadata, spec }: any): InjectedPod {
  return { name, namespace, labels: metadata.labels ?? {}, annotations: metadata.annotations ?? {}, spec };
}

function serviceEntry() {
  return {
    ...{ apiVersion: "networking.istio.io/v1", kind: "ServiceEntry", metadata: { name: "web" } },
    spec: {
      hosts: [WEB.host],
      addresses: [WEB.address],
      ports: [{ number: 80, name: "http", protocol: "HTTP" }],
      ...{ location: "MESH_EXTERNAL", resolution: "STATIC" },
      endpoints: [{ address: NODE_ADDRESS, ports: { http: ECHO_PORT } }],
    },
  };
}
