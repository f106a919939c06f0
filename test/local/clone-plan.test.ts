import { expect, test } from "vitest";
import { type CloneFacts, planClone } from "../../src/local/cluster/clone-plan.ts";
import { containerEnv, expandReferences } from "../../src/local/cluster/container-env.ts";
import { parseWorkloadName } from "../../src/local/cluster/find-workload.ts";
import type { MeshFacts } from "../../src/local/cluster/mesh-facts.ts";
import { type Container, type Pod, proxyContainerOf } from "../../src/local/cluster/pod.ts";
import { workloadOwnerOf } from "../../src/local/cluster/workload-owner.ts";

const POD: Pod = {
  metadata: {
    ...{ name: "web-7d4b-x2x", generateName: "web-7d4b-", namespace: "shop", uid: "u1" },
    labels: { app: "web", "pod-template-hash": "7d4b", "a/b": "c" },
    annotations: { "proxy.istio.io/config": "concurrency: 3", "istio.io/rev": "canary", note: 'say "hi"\n' },
    ownerReferences: [{ apiVersion: "apps/v1", kind: "ReplicaSet", name: "web-7d4b", controller: true }],
  },
  spec: {
    ...{ serviceAccountName: "cart", nodeName: "node-1" },
    containers: [{ name: "app", ports: [{ name: "http", containerPort: 8080 }] }],
  },
  status: { podIP: "10.1.2.3", podIPs: [{ ip: "10.1.2.3" }, { ip: "fd00::3" }], hostIP: "192.168.0.9" },
};

const MESH: MeshFacts = {
  ...{ trustDomain: "example.org", meshId: "mesh1", clusterId: "east", network: "net1", domain: "cluster.local" },
  proxyConfig: {
    discoveryAddress: "istiod.istio-system.svc:15012",
    proxyMetadata: { ISTIO_META_DNS_CAPTURE: "true", A: "b" },
  },
  unread: [],
};

const field = (name: string, fieldPath: string) => ({ name, valueFrom: { fieldRef: { fieldPath } } });

test("every source of a variable is resolved as the kubelet does", () => {
  const container: Container = {
    name: "istio-proxy",
    resources: { limits: { cpu: "1500m", memory: "1Gi" }, requests: { cpu: "0.1" } },
    envFrom: [{ prefix: "P_", configMapRef: { name: "many" } }, { secretRef: { name: "hidden" } }],
    env: [
      field("NAME", "metadata.name"),
      field("NS", "metadata.namespace"),
      field("UID", "metadata.uid"),
      field("LABEL", "metadata.labels['a/b']"),
      field("NO_LABEL", "metadata.labels['none']"),
      field("NOTE", "metadata.annotations['note']"),
      field("ACCOUNT", "spec.serviceAccountName"),
      field("NODE", "spec.nodeName"),
      field("IP", "status.podIP"),
      field("IPS", "status.podIPs"),
      field("HOST", "status.hostIP"),
      field("HOSTS", "status.hostIPs"),
      { name: "CPU", valueFrom: { resourceFieldRef: { resource: "limits.cpu", divisor: "1" } } },
      { name: "MILLI", valueFrom: { resourceFieldRef: { resource: "requests.cpu", divisor: "1m" } } },
      { name: "MEM", valueFrom: { resourceFieldRef: { resource: "limits.memory", divisor: "1Mi" } } },
      { name: "UNLIMITED", valueFrom: { resourceFieldRef: { resource: "limits.ephemeral-storage" } } },
      { name: "ONE", valueFrom: { configMapKeyRef: { name: "many", key: "k" } } },
      { name: "TOKEN", valueFrom: { secretKeyRef: { name: "hidden", key: "token" } } },
      { name: "DOMAIN", value: "$(NS).svc" },
      { name: "EMPTY" },
      { name: "NAME", value: "later" },
    ],
  };
  const { values, secret, unknown } = containerEnv(POD, container, new Map([["many", { k: "v", l: "w" }]]));
  expect(Object.fromEntries(values)).toEqual({
    ...{ P_k: "v", P_l: "w", NAME: "later", NS: "shop", UID: "u1", LABEL: "c", NO_LABEL: "", NOTE: 'say "hi"\n' },
    ...{ ACCOUNT: "cart", NODE: "node-1", IP: "10.1.2.3", IPS: "10.1.2.3,fd00::3", HOST: "192.168.0.9" },
    ...{ CPU: "2", MILLI: "100", MEM: "1024", ONE: "v", DOMAIN: "shop.svc", EMPTY: "" },
  });
  expect(secret).toEqual(["Secret hidden", "TOKEN"]);
  expect(unknown).toEqual(["HOSTS", "UNLIMITED"]);
});

test.each([
  ["$(A).svc", "1.svc"],
  ["$(B)", "$(B)"],
  ["$$(A)", "$(A)"],
  ["$A $(A", "$A $(A"],
])("%s is expanded to %s", (text, expected) => {
  expect(expandReferences(text, new Map([["A", "1"]]))).toBe(expected);
});

test.each([
  ["a container", { containers: [{ name: "app" }, { name: "istio-proxy" }] }, true],
  ["an init container that stays", { initContainers: [{ name: "istio-proxy", restartPolicy: "Always" }] }, true],
  ["an init container that ends", { initContainers: [{ name: "istio-proxy" }] }, false],
  ["no container", { containers: [{ name: "app" }] }, false],
])("%s is the proxy: %s", (_, spec, expected) => {
  expect(proxyContainerOf({ spec }) !== undefined).toBe(expected);
});

test.each([
  ["web", { kind: "pod", name: "web" }],
  ["pod/web-0", { kind: "pod", name: "web-0" }],
  ["deploy/web", { kind: "deployment", name: "web" }],
  ["deployment.apps/web", { kind: "deployment", name: "web" }],
  ["svc/web", { kind: "service", name: "web" }],
  ["job/web", undefined],
  ["web/", undefined],
  ["Web", undefined],
  ["../web", undefined],
])("%s names %j", (word, expected) => {
  expect(parseWorkloadName(word)).toEqual(expected);
});

test.each<[string, NonNullable<Pod["metadata"]>, string, string]>([
  ["a deployment", POD.metadata ?? {}, "web", "apis/apps/v1/namespaces/shop/deployments/web"],
  [
    "a replica set of its own",
    { ...POD.metadata, labels: {} },
    "web-7d4b",
    "apis/apps/v1/namespaces/shop/replicasets/web-7d4b",
  ],
  [
    "a stateful set",
    {
      ...POD.metadata,
      ownerReferences: [{ apiVersion: "apps/v1", kind: "StatefulSet", name: "db", controller: true }],
    },
    "db",
    "apis/apps/v1/namespaces/shop/statefulsets/db",
  ],
  [
    "a cron job",
    {
      ...POD.metadata,
      ownerReferences: [{ apiVersion: "batch/v1", kind: "Job", name: "nightly-28911111", controller: true }],
    },
    "nightly",
    "apis/batch/v1/namespaces/shop/cronjobs/nightly",
  ],
  ["nobody", { name: "solo" }, "solo", "apis/v1/namespaces/default/pods/solo"],
  [
    "a name of its own",
    { ...POD.metadata, labels: { ...POD.metadata?.labels, "service.istio.io/workload-name": "front" } },
    "front",
    "apis/apps/v1/namespaces/shop/deployments/web",
  ],
])("the workload of a pod of %s", (_, metadata, name, reference) => {
  expect(workloadOwnerOf({ metadata })).toEqual({ name, reference: `kubernetes://${reference}` });
});

test("a pod without a proxy is told what the mesh says", () => {
  const plan = planOf({ pod: POD, env: undefined, proxyConfig: { concurrency: 3, drainDuration: "1s", tracing: {} } });
  expect(plan.presents).toEqual({
    id: "sidecar~10.1.2.3~web-7d4b-x2x.shop~shop.svc.cluster.local",
    ...{ namespace: "shop", serviceAccount: "cart", labels: { app: "web", "a/b": "c" } },
    ...{ cluster: "east", network: "net1", revision: "canary", trustDomain: "example.org", workload: "web" },
  });
  expect(variablesOf(plan)).toMatchObject({
    ...{ POD_NAME: "web-7d4b-x2x", POD_NAMESPACE: "shop", SERVICE_ACCOUNT: "cart", INSTANCE_IP: "10.1.2.3" },
    ...{ ISTIO_META_INTERCEPTION_MODE: "NONE", ISTIO_META_MESH_ID: "mesh1", TRUST_DOMAIN: "example.org" },
    ISTIO_META_POD_PORTS: '[{"name":"http","containerPort":8080}]',
    ISTIO_META_APP_CONTAINERS: "app",
  });
  expect(plan.defaults.map(({ proxyConfig }) => proxyConfig)).toEqual([{ proxyMetadata: { A: "b" } }, {}]);
  expect(plan.annotations).toEqual({ "istio.io/rev": "canary", note: 'say "hi"\n' });
});

test("of the pod's proxy everything is taken over but what holds only there", () => {
  const env = {
    ...{ ISTIO_META_CLUSTER_ID: "west", ISTIO_META_NETWORK: "net2", TRUST_DOMAIN: "td", ISTIO_META_CUSTOM: "x" },
    ...{ CA_ADDR: "csr.cert-manager.svc:443", OUTPUT_CERTS: "/etc/out", SOME_FILE: "/etc/x", GOMEMLIMIT: "1" },
    ...{ ISTIO_KUBE_APP_PROBERS: "{}", ISTIO_META_INTERCEPTION_MODE: "TPROXY", PILOT_CERT_PROVIDER: "istiod" },
    ...{ PROXY_CONFIG: "{}", INSTANCE_IP: "10.1.2.3" },
  };
  const plan = planOf({
    ...{ pod: POD, proxyConfig: { statusPort: 15_020, meshId: "m", interceptionMode: "TPROXY" } },
    env: { values: new Map(Object.entries(env)), secret: ["S"], unknown: [] },
  });
  expect(plan.presents).toMatchObject({ cluster: "west", network: "net2", trustDomain: "td" });
  const variables = variablesOf(plan);
  expect(variables).toMatchObject({ ISTIO_META_CUSTOM: "x", ISTIO_META_INTERCEPTION_MODE: "NONE" });
  for (const name of ["CA_ADDR", "OUTPUT_CERTS", "SOME_FILE", "GOMEMLIMIT", "ISTIO_KUBE_APP_PROBERS", "PROXY_CONFIG"]) {
    expect(variables).not.toHaveProperty(name);
  }
  expect(plan.defaults[1]?.proxyConfig).toEqual({ meshId: "m" });
  expect(plan.changes.flatMap(({ names }) => names)).toEqual(
    expect.arrayContaining(["CA_ADDR", "OUTPUT_CERTS", "SOME_FILE", "GOMEMLIMIT", "statusPort", "S"]),
  );
  expect(JSON.stringify(plan.changes)).not.toContain("cert-manager");
});

test("the words of the proxy's container say role and domain", () => {
  const args = ["proxy", "router", "--domain", "$(POD_NAMESPACE).svc.corp.local", "--log_output_level=default:info"];
  const pod = { ...POD, spec: { containers: [{ name: "istio-proxy", args }] } };
  const plan = planOf({
    pod,
    env: { values: new Map([["POD_NAMESPACE", "shop"]]), secret: [], unknown: [] },
    proxyConfig: {},
  });
  expect(plan).toMatchObject({ role: "router", domain: "shop.svc.corp.local" });
});

test.each<[string, Partial<CloneFacts>]>([
  ["variables", { env: { values: new Map([["ISTIO_META_AUTO_REGISTER_GROUP", "vms"]]), secret: [], unknown: [] } }],
  ["proxyMetadata", { proxyConfig: { proxyMetadata: { ISTIO_META_AUTO_REGISTER_GROUP: "vms" } } }],
])("a proxy that registers an endpoint by its %s is refused unless that is wanted", (_, facts) => {
  const all = { ...NOTHING, pod: POD, env: undefined, proxyConfig: {}, mesh: MESH, ...facts };
  const refused = expect.objectContaining({ code: "USAGE", hint: expect.stringContaining("--register") });
  expect(() => planClone(all, { mayRegister: false, registerFlag: "--register" })).toThrow(refused);
  const withoutFlag = expect.objectContaining({ code: "USAGE", hint: expect.not.stringContaining("--register") });
  expect(() => planClone(all, { mayRegister: false, role: "router" })).toThrow(withoutFlag);
  expect(() => planClone(all, { mayRegister: true })).not.toThrow();
});

test.each([
  ["interceptionMode of the mesh", "ISTIO_META_INTERCEPTION_MODE, interceptionMode", { interceptionMode: "TPROXY" }],
  ["interception_mode of the mesh", "ISTIO_META_INTERCEPTION_MODE, interceptionMode", { interception_mode: "TPROXY" }],
])("%s is not taken over, and that is said", (_, names, proxyConfig) => {
  const plan = planOf({ pod: POD, env: undefined, proxyConfig });
  expect(plan.defaults[1]?.proxyConfig).toEqual({});
  expect(plan.changes).toContainEqual({
    names: names.split(", "),
    here: "NONE",
    why: "nothing redirects connections on this machine; the pod has TPROXY",
  });
  const router = planClone(
    { ...NOTHING, mesh: MESH, pod: POD, env: undefined, proxyConfig },
    { mayRegister: false, role: "router" },
  );
  expect(router.changes.flatMap((one) => one.names)).toContain("interceptionMode");
  expect(router.changes.flatMap((one) => one.names)).not.toContain("ISTIO_META_INTERCEPTION_MODE");
});

test("every annotation that is not taken over is said, and no other", () => {
  const annotations = {
    ...{ "proxy.istio.io/config": "{}", "sidecar.istio.io/discoveryAddress": "x", "status.sidecar.istio.io/port": "1" },
    other: "stays",
  };
  const plan = planOf({ pod: { ...POD, metadata: { ...POD.metadata, annotations } }, env: undefined, proxyConfig: {} });
  expect(plan.annotations).toEqual({ other: "stays" });
  expect(plan.changes.flatMap(({ names }) => names.filter((name) => name.startsWith("annotation "))).sort()).toEqual([
    "annotation proxy.istio.io/config",
    "annotation sidecar.istio.io/discoveryAddress",
    "annotation status.sidecar.istio.io/port",
  ]);
});

test("what could not be read is said, with the reason", () => {
  const unread = [{ what: 'ConfigMap "istio"', why: "you may not read it" }] as const;
  const plan = planOf({ pod: POD, env: undefined, proxyConfig: {}, unread });
  expect(plan.changes).toContainEqual({
    names: ['ConfigMap "istio"'],
    here: "Istio's own defaults",
    why: "you may not read it",
  });
});

const NOTHING = { revision: "canary", unread: [] };

function planOf(facts: Omit<CloneFacts, "mesh" | keyof typeof NOTHING> & Partial<CloneFacts>) {
  return planClone({ ...NOTHING, ...facts, mesh: MESH }, { mayRegister: false });
}

function variablesOf({ defaults }: ReturnType<typeof planClone>) {
  return Object.assign({}, ...defaults.map(({ variables }) => variables)) as Record<string, string>;
}
