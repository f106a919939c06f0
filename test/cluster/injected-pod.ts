import type { KubeObject } from "./kube-api.ts";

export interface InjectedPodOptions {
  readonly name: string;
  readonly account: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Of the pod; no address of this machine. */
  readonly address: string;
  /** An init container that stays, as since Istio 1.27. Default false. */
  readonly isNative?: boolean;
  readonly env?: readonly object[];
}

const field = (name: string, fieldPath: string) => ({ name, valueFrom: { fieldRef: { fieldPath } } });
const limit = (name: string, resource: string) => ({
  name,
  valueFrom: { resourceFieldRef: { resource, divisor: "1" } },
});

/** The container that Istio's injector adds. Source: istio/istio pkg/kube/inject/testdata/inject/hello.yaml.injected. */
export function proxyContainer(more: readonly object[] = []) {
  return {
    name: "istio-proxy",
    image: "docker.io/istio/proxyv2:1.31.0",
    args: [
      ...["proxy", "sidecar", "--domain", "$(POD_NAMESPACE).svc.cluster.local"],
      ...["--proxyLogLevel=warning", "--proxyComponentLogLevel=misc:error", "--log_output_level=default:info"],
    ],
    resources: { limits: { cpu: "2", memory: "1Gi" } },
    env: [
      { name: "PILOT_CERT_PROVIDER", value: "istiod" },
      { name: "CA_ADDR", value: "istiod.istio-system.svc:15012" },
      field("POD_NAME", "metadata.name"),
      field("POD_NAMESPACE", "metadata.namespace"),
      field("INSTANCE_IP", "status.podIP"),
      field("SERVICE_ACCOUNT", "spec.serviceAccountName"),
      field("HOST_IP", "status.hostIP"),
      limit("ISTIO_CPU_LIMIT", "limits.cpu"),
      { name: "PROXY_CONFIG", value: '{"discoveryAddress":"istiod.istio-system.svc:15012","statusPort":15020}\n' },
      { name: "ISTIO_META_POD_PORTS", value: '[\n    {"name":"http","containerPort":8080}\n]' },
      { name: "ISTIO_META_APP_CONTAINERS", value: "app" },
      limit("GOMEMLIMIT", "limits.memory"),
      limit("GOMAXPROCS", "limits.cpu"),
      { name: "ISTIO_META_CLUSTER_ID", value: "Kubernetes" },
      field("ISTIO_META_NODE_NAME", "spec.nodeName"),
      { name: "ISTIO_META_INTERCEPTION_MODE", value: "REDIRECT" },
      { name: "ISTIO_META_WORKLOAD_NAME", value: "shop" },
      { name: "ISTIO_META_OWNER", value: "kubernetes://apis/apps/v1/namespaces/default/deployments/shop" },
      { name: "ISTIO_META_MESH_ID", value: "cluster.local" },
      { name: "TRUST_DOMAIN", value: "cluster.local" },
      { name: "ISTIO_KUBE_APP_PROBERS", value: '{"/app-health/app/livez":{"httpGet":{"path":"/","port":8080}}}' },
      ...more,
    ],
  };
}

export function injectedPod({ name, account, labels, address, isNative = false, env }: InjectedPodOptions): KubeObject {
  const proxy = proxyContainer(env);
  const app = { name: "app", image: "none", ports: [{ name: "http", containerPort: 8080 }] };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      labels: { "security.istio.io/tlsMode": "istio", ...labels },
      annotations: { "cluster.test/address": address, "istio.io/rev": "default" },
    },
    spec: {
      serviceAccountName: account,
      containers: isNative ? [app] : [app, proxy],
      ...(isNative && { initContainers: [{ ...proxy, restartPolicy: "Always" }] }),
    },
  };
}
