type Texts = Readonly<Record<string, string>>;

/** A workload of a kind with this pod. */
function workload(kind: string, spec: object, metadata: object = { labels: { app: "web" } }) {
  return { apiVersion: "apps/v1", kind, metadata: { name: "web" }, spec: { template: { metadata, spec } } };
}

/** A Deployment whose pods have these annotations. */
function annotated(annotations: Texts, spec: object = { containers: [APP] }) {
  return workload("Deployment", spec, { labels: { app: "web", version: "v2" }, annotations });
}

const APP = { name: "app", image: "nginx:1.21", ports: [{ name: "http", containerPort: 8_080 }] };
const SECOND = {
  name: "second",
  image: "busybox@sha256:0123",
  ports: [{ containerPort: 9_090, protocol: "UDP" }, { containerPort: 9_091 }],
  lifecycle: {
    preStop: { httpGet: { path: "/bye", port: 9_091, scheme: "HTTPS" } },
    postStart: { exec: { command: ["true"] } },
  },
};
const PROBED = {
  ...APP,
  readinessProbe: { httpGet: { path: "/ready", port: "http", httpHeaders: [{ name: "a", value: "b<c" }] } },
  livenessProbe: { tcpSocket: { port: 8_080 }, timeoutSeconds: 4 },
  startupProbe: { grpc: { port: 9_090, service: "health" }, failureThreshold: 30 },
};
const NOT_NATIVE = { "sidecar.istio.io/nativeSidecar": "false" };
const NATIVE = { "sidecar.istio.io/nativeSidecar": "true" };
const job = { template: { metadata: {}, spec: { restartPolicy: "Never", containers: [APP] } } };
const gateway = { ...APP, name: "istio-proxy", image: "auto", ports: [{ containerPort: 8_443 }] };

/** By title. */
export const MANIFESTS: Readonly<Record<string, unknown>> = {
  "a Deployment": workload("Deployment", { containers: [APP] }),
  "a Deployment whose sidecar is no native one": annotated(NOT_NATIVE),
  "a StatefulSet with probes of all kinds": workload("StatefulSet", { containers: [PROBED] }),
  "a DaemonSet with probes that ask a program": workload("DaemonSet", {
    containers: [
      { ...APP, livenessProbe: { exec: { command: ["true"] } }, readinessProbe: { httpGet: { port: "none" } } },
    ],
  }),
  "a ReplicaSet of a service account": workload("ReplicaSet", { containers: [APP], serviceAccountName: "cart" }),
  "a ReplicationController of OpenShift": {
    ...workload("ReplicationController", { containers: [APP] }, { labels: { deploymentconfig: "web-config" } }),
    apiVersion: "v1",
  },
  "a Job": { apiVersion: "batch/v1", kind: "Job", metadata: { name: "migrate" }, spec: job },
  "a Job that looks like one of a CronJob": {
    ...{ apiVersion: "batch/v1", kind: "Job", metadata: { name: "migrate-28390123" } },
    spec: job,
  },
  "a CronJob": {
    ...{ apiVersion: "batch/v1", kind: "CronJob", metadata: { name: "nightly" } },
    spec: { schedule: "0 0 * * *", jobTemplate: { spec: job } },
  },
  "a Pod": {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "alone", labels: { run: "alone" } },
    spec: { containers: [APP] },
  },
  "a List": {
    ...{ apiVersion: "v1", kind: "List" },
    items: [workload("Deployment", { containers: [APP] }), workload("StatefulSet", { containers: [SECOND] })],
  },
  "two containers, init containers and volumes of the application": annotated(NOT_NATIVE, {
    initContainers: [{ name: "prepare", image: "busybox", env: [{ name: "A", value: "1" }] }],
    containers: [PROBED, SECOND],
    volumes: [
      { name: "data", emptyDir: {} },
      { name: "istio-envoy", emptyDir: { sizeLimit: "1Gi" } },
    ],
    imagePullSecrets: [{ name: "registry" }],
    securityContext: { fsGroup: 2_000 },
  }),
  "init containers after a native sidecar": annotated(NATIVE, {
    initContainers: [{ name: "prepare", image: "busybox", startupProbe: { tcpSocket: { port: 1 } } }],
    containers: [PROBED, SECOND],
  }),
  "a native sidecar of interception mode NONE": annotated({ ...NATIVE, "sidecar.istio.io/interceptionMode": "NONE" }),
  "a native sidecar, held application": annotated({
    ...NATIVE,
    "proxy.istio.io/config": "holdApplicationUntilProxyStarts: true",
  }),
  "a native sidecar that a container overrides": annotated(NATIVE, {
    containers: [
      APP,
      { name: "istio-proxy", image: "auto", env: [{ name: "A", value: "b" }], terminationMessagePath: "/x" },
    ],
  }),
  "resources, log levels and readiness by annotation": annotated({
    "sidecar.istio.io/proxyCPU": "200m",
    "sidecar.istio.io/proxyMemory": "2048Mi",
    "sidecar.istio.io/proxyCPULimit": "1500m",
    "sidecar.istio.io/logLevel": "debug",
    "sidecar.istio.io/componentLogLevel": "upstream:debug",
    "sidecar.istio.io/agentLogLevel": "dns:debug",
    "readiness.status.sidecar.istio.io/periodSeconds": "7",
    "readiness.status.sidecar.istio.io/initialDelaySeconds": "1",
  }),
  "traffic by annotation": annotated({
    ...NOT_NATIVE,
    "traffic.sidecar.istio.io/includeOutboundIPRanges": "10.0.0.0/8",
    "traffic.sidecar.istio.io/excludeOutboundIPRanges": "10.1.0.0/16",
    "traffic.sidecar.istio.io/includeInboundPorts": "8080",
    "traffic.sidecar.istio.io/excludeInboundPorts": "9000, 9001",
    "traffic.sidecar.istio.io/includeOutboundPorts": "80",
    "traffic.sidecar.istio.io/excludeOutboundPorts": "443",
    "traffic.sidecar.istio.io/kubevirtInterfaces": "net1",
    "traffic.sidecar.istio.io/excludeInterfaces": "net2",
    "status.sidecar.istio.io/port": "15030",
  }),
  "no status port": annotated({ "status.sidecar.istio.io/port": "0" }),
  TPROXY: annotated({ "sidecar.istio.io/interceptionMode": "TPROXY", "sidecar.istio.io/capNetBindService": "true" }),
  "interception mode NONE": annotated({ "sidecar.istio.io/interceptionMode": "NONE", ...NOT_NATIVE }),
  "an own ProxyConfig, held application": annotated({
    ...NOT_NATIVE,
    "proxy.istio.io/config":
      "holdApplicationUntilProxyStarts: true\nconcurrency: 3\nproxyMetadata:\n  ISTIO_META_DNS_CAPTURE: 'true'\n  A: b\ndrainDuration: 20s\ntracing:\n  zipkin:\n    address: zipkin.istio-system:9411\nimage:\n  imageType: distroless",
  }),
  "HBONE, traced iptables, a port of metrics over mTLS": annotated({
    "proxy.istio.io/config":
      '{"proxyMetadata":{"ISTIO_META_ENABLE_HBONE":"true","IPTABLES_TRACE_LOGGING":"true","ENVOY_SECURE_MERGED_METRICS_PORT":"15091"}}',
  }),
  "Prometheus annotations": annotated({
    ...{ "prometheus.io/scrape": "true", "prometheus.io/port": "8080", "prometheus.io/path": "/m" },
  }),
  "targets of Prometheus": annotated({ "prometheus.istio.io/scrape-targets": "8080:/metrics, 9091" }),
  "no merge of metrics": annotated({ "prometheus.istio.io/merge-metrics": "false", "prometheus.io/port": "8080" }),
  "not scraped": annotated({ "prometheus.io/scrape": "false" }),
  "probes that are not rewritten": annotated(
    { "sidecar.istio.io/rewriteAppHTTPProbers": "false" },
    { containers: [PROBED] },
  ),
  "own volumes and bootstrap of the sidecar": annotated({
    "sidecar.istio.io/userVolume": '{"certs":{"secret":{"secretName":"certs","optional":true}}}',
    "sidecar.istio.io/userVolumeMount": '{"certs":{"mountPath":"/certs","readOnly":true}}',
    "sidecar.istio.io/bootstrapOverride": "my-bootstrap",
    "sidecar.istio.io/proxyImage": "example.com/proxy:1",
  }),
  "labels that name the workload": workload(
    "Deployment",
    { containers: [APP] },
    {
      labels: {
        "app.kubernetes.io/name": "named",
        "app.kubernetes.io/version": "7",
        "service.istio.io/workload-name": "other",
        "topology.istio.io/network": "network-2",
        "sidecar.istio.io/inject": "true",
      },
    },
  ),
  "a container istio-proxy that overrides": annotated(
    { "sidecar.istio.io/proxyImageType": "debug" },
    {
      containers: [
        {
          name: "istio-proxy",
          image: "auto",
          resources: { requests: { cpu: "500m", memory: "1Gi" } },
          env: [
            { name: "B", value: "" },
            { name: "ISTIO_META_MESH_ID", value: "own" },
          ],
          volumeMounts: [{ name: "data", mountPath: "/data" }],
          securityContext: { runAsUser: 2_000, runAsGroup: 2_001 },
          args: ["proxy", "sidecar", "--own"],
          readinessProbe: { initialDelaySeconds: 0, failureThreshold: 9, httpGet: { port: 15_021, path: "/own" } },
        },
        APP,
      ],
      volumes: [{ name: "data", emptyDir: {} }],
    },
  ),
  "the same, where the sidecar is no native one": annotated(NOT_NATIVE, {
    containers: [APP, { name: "istio-proxy", image: "own:1", securityContext: { runAsUser: 2_000 } }],
    initContainers: [{ name: "istio-init", image: "auto", resources: { limits: { cpu: "1" } } }],
  }),
  "a gateway": workload(
    "Deployment",
    { containers: [gateway], securityContext: { runAsNonRoot: true } },
    { labels: { istio: "ingress" }, annotations: { "inject.istio.io/templates": "gateway" } },
  ),
  "gRPC without a proxy": annotated({ "inject.istio.io/templates": "grpc-agent" }),
  "two templates": annotated({ "inject.istio.io/templates": "sidecar, grpc-simple" }),
  "a CronJob of several containers": {
    ...{ apiVersion: "batch/v1", kind: "CronJob", metadata: { name: "nightly", labels: { team: "a" } } },
    spec: {
      schedule: "0 0 * * *",
      jobTemplate: {
        spec: {
          template: {
            metadata: { labels: { job: "nightly" }, annotations: NATIVE },
            spec: { restartPolicy: "OnFailure", containers: [PROBED, SECOND], initContainers: [SECOND] },
          },
        },
      },
    },
  },
  "an image, log levels and limits by annotation": annotated({
    ...{ "sidecar.istio.io/proxyCPULimit": "2", "sidecar.istio.io/proxyMemoryLimit": "512Mi" },
    ...{ "sidecar.istio.io/logLevel": "debug", "sidecar.istio.io/componentLogLevel": "http:trace,filter:info" },
    ...{
      "sidecar.istio.io/agentLogLevel": "default:warn,xdsproxy:debug",
      "sidecar.istio.io/proxyImage": "a/b@sha256:12",
    },
    ...{ "sidecar.istio.io/extraStatTags": "a,b", "sidecar.istio.io/discoveryAddress": "d.example.com:15012" },
    ...{
      "sidecar.istio.io/statsInclusionPrefixes": "cluster.outbound,http",
      "proxy.istio.io/config": "statusPort: 15099",
    },
  }),
  "only a request of CPU by annotation": annotated({ "sidecar.istio.io/proxyCPU": "250m" }),
  "only a limit of memory by annotation": annotated({ "sidecar.istio.io/proxyMemoryLimit": "1Gi", ...NOT_NATIVE }),
  "a security context of the pod": annotated(NOT_NATIVE, {
    containers: [{ ...APP, securityContext: { runAsUser: 1_000, privileged: false, readOnlyRootFilesystem: true } }],
    securityContext: { fsGroup: 5, runAsUser: 1_001, runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
  }),
  "a shared process namespace, host aliases, a class of priority": annotated(NATIVE, {
    ...{ containers: [APP], shareProcessNamespace: true, hostAliases: [{ ip: "1.2.3.4", hostnames: ["a"] }] },
    ...{ priorityClassName: "high", dnsPolicy: "None", dnsConfig: { nameservers: ["1.1.1.1"] }, hostname: "h" },
  }),
  "a native sidecar of somebody else before ours": annotated(NATIVE, {
    initContainers: [
      { ...SECOND, name: "log-agent", restartPolicy: "Always" },
      { name: "prepare", image: "busybox" },
    ],
    containers: [APP],
  }),
  "a held native sidecar": annotated({ ...NATIVE, "proxy.istio.io/config": "holdApplicationUntilProxyStarts: true" }),
  "a label that asks and an annotation that does not": workload(
    "Deployment",
    { containers: [APP] },
    { labels: { "sidecar.istio.io/inject": "true" }, annotations: { "sidecar.istio.io/inject": "false" } },
  ),
  "an annotation that asks": annotated({ "sidecar.istio.io/inject": "true" }),
  "the name of the first template alone": annotated({ "inject.istio.io/templates": "sidecar" }),
  "a gateway with ports, a revision and TPROXY": workload(
    "DaemonSet",
    { containers: [gateway, SECOND] },
    {
      labels: { istio: "egress", "istio.io/rev": "default", "topology.istio.io/network": "net" },
      annotations: { "inject.istio.io/templates": "gateway", "sidecar.istio.io/interceptionMode": "TPROXY" },
    },
  ),
  "a scheme of Prometheus": annotated({
    ...{ "prometheus.io/scrape": "true", "prometheus.io/port": "8080", "prometheus.io/scheme": "https" },
  }),
  "a probe with a host, HTTPS and the name of a port": annotated(NOT_NATIVE, {
    containers: [
      {
        ...APP,
        livenessProbe: {
          httpGet: { path: "live", port: "http", scheme: "HTTPS", host: "h.example.com" },
          periodSeconds: 3,
        },
        readinessProbe: { httpGet: { path: "/r?q=1", port: 8_080 }, terminationGracePeriodSeconds: 5 },
      },
    ],
  }),
  "no iptables capabilities, a debug image": annotated({
    ...{ "sidecar.istio.io/proxyImageType": "distroless", "istio.io/reroute-virtual-interfaces": "net3" },
    ...{ "traffic.sidecar.istio.io/includeInboundPorts": "", "traffic.sidecar.istio.io/includeOutboundIPRanges": "" },
  }),
};
