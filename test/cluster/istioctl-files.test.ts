import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { findIstioctl, runIstioctl } from "../support/istioctl.ts";
import { runtimes } from "../support/pilotboat.ts";
import type { KubeObject } from "./kube-api.ts";
import { type MeshProxy, startAgent } from "./mesh-proxy.ts";
import { type Cluster, hasCluster, startCluster } from "./start-cluster.ts";

// The agent starts with what istioctl writes, as it is written.

const istioctl = hasCluster() ? findIstioctl() : undefined;

describe.runIf(istioctl !== undefined)("files that istioctl writes", { timeout: 180_000 }, () => {
  let cluster: Cluster;
  let folder: string;
  const write = (...words: readonly string[]) => runIstioctl(istioctl ?? "", words, { KUBECONFIG: cluster.kubeconfig });

  beforeAll(async () => {
    cluster = await startCluster();
    folder = await mkdtemp(join(tmpdir(), "pb-istioctl-"));
    await cluster.apply({ apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "vm" } });
  }, 300_000);
  afterAll(async () => {
    await cluster?.[Symbol.asyncDispose]();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  describe("for a virtual machine", () => {
    let env: Readonly<Record<string, string>>;
    const vm = (name: string) => join(folder, "vm", name);
    beforeAll(async () => {
      const { namespace } = cluster;
      const flags = ["--labels", "app=vm", "--serviceAccount", "vm", "--ports", "http=8080"];
      const group = parse(await write("x", "workload", "group", "create", "--name", "vm", "-n", namespace, ...flags));
      const probe = { httpGet: { port: 8_080, path: "/health" } };
      await cluster.apply({ ...group, spec: { ...group.spec, probe } });
      const where = [
        "--ingressIP",
        "127.0.0.1",
        "--clusterID",
        "Kubernetes",
        "--autoregister",
        "-o",
        join(folder, "vm"),
      ];
      await write("x", "workload", "entry", "configure", "--name", "vm", "-n", namespace, ...where);
      env = sourced(await readFile(vm("cluster.env"), "utf8"));
    }, 60_000);

    test.each(runtimes())("$name starts with them, and istiod registers it", async (runtime) => {
      const run = join(folder, runtime.name);
      // where Istio's documents tell to put them, below the run folder
      await place(vm("root-cert.pem"), join(run, "etc/certs/root-cert.pem"));
      await place(vm("istio-token"), join(run, "var/run/secrets/tokens/istio-token"));
      await place(vm("mesh.yaml"), join(run, "etc/istio/config/mesh"));
      // as istio-start.sh does
      const certs = { PROV_CERT: "./etc/certs", OUTPUT_CERTS: "./etc/certs", INSTANCE_IP: "127.0.0.1" };
      await using proxy = await startAgent(runtime, cluster, {
        folder: run,
        args: ["sidecar"],
        env: { ...env, ...certs },
      });
      await expect.poll(() => proxy.readyStatus()).toBe(200);
      expect(await proxy.rejectedUpdates()).toBe(0);
      expect(proxy.command.stdout()).toContain("starting health check for GET http://127.0.0.1:8080/health");
      const entries = `/apis/networking.istio.io/v1/namespaces/${cluster.namespace}/workloadentries`;
      await cluster.api.until(entries, ({ items }) => items.some(isOfGroup));
      await stopped(proxy);
      // with the certificate that the agent has written, as after a reboot when the token is long expired
      await rm(join(run, "var/run/secrets/tokens"), { recursive: true });
      await using again = await startAgent(runtime, cluster, {
        folder: run,
        args: ["sidecar"],
        env: { ...env, ...certs },
      });
      await expect.poll(() => again.readyStatus()).toBe(200);
      await stopped(again);
    });
  });

  describe("for a pod", () => {
    let container: Container;
    beforeAll(async () => {
      container = await injected(write, cluster.namespace, folder);
    }, 60_000);

    test.each(runtimes())("$name runs with the words that kube-inject writes", async (runtime) => {
      const run = join(folder, `pod-${runtime.name}`);
      await cluster.writeCredentials(run, "vm");
      const env = podEnv(container.env, { "metadata.name": "web", "metadata.namespace": cluster.namespace });
      const args = container.args.map((word) => word.replace("$(POD_NAMESPACE)", cluster.namespace)).slice(1);
      await using proxy = await startAgent(runtime, cluster, {
        ...{ folder: run, args, proxyConfig: JSON.parse(env.PROXY_CONFIG ?? "{}") },
        env: { ...env, CA_ADDR: cluster.discoveryAddress },
      });
      await expect.poll(() => proxy.readyStatus()).toBe(200);
      expect(await proxy.rejectedUpdates()).toBe(0);
      const [probe = ""] = Object.keys(JSON.parse(env.ISTIO_KUBE_APP_PROBERS ?? "{}"));
      expect(probe).toMatch(/^\/app-health\//);
      expect((await fetch(proxy.statusUrl + probe)).status).toBe(500); // it is asked; no application runs here
      expect(proxy.command.stdout()).not.toMatch(/unknown flag/);
      await stopped(proxy);
    });
  });
});

async function stopped({ command }: MeshProxy): Promise<void> {
  command.kill("SIGTERM");
  expect((await command.ended).code).toBe(0);
}

/** The variables of a file that a shell would source. */
function sourced(text: string): Record<string, string> {
  return Object.fromEntries([...text.matchAll(/^(\w+)='(.*)'$/gm)].map(([, name, value]) => [name, value]));
}

async function place(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  await copyFile(from, to);
}

function isOfGroup({ metadata, spec }: KubeObject): boolean {
  return metadata.name.startsWith("vm-") && spec.serviceAccount === "vm";
}

interface Container {
  readonly name: string;
  readonly args: readonly string[];
  readonly env: readonly EnvVar[];
}

interface EnvVar {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: { readonly fieldRef?: { readonly fieldPath: string } };
}

/** With the injector's templates of the charts that istioctl carries. */
async function injected(write: (...words: string[]) => Promise<string>, namespace: string, folder: string) {
  const documents = parseAllDocuments(await write("manifest", "generate", "--set", "profile=minimal"));
  const maps = documents.map((one) => one.toJS() as KubeObject | null).filter((one) => one?.kind === "ConfigMap");
  const data = (name: string) => maps.find((one) => one?.metadata.name === name)?.data ?? {};
  const file = async (name: string, text: string) => {
    await writeFile(join(folder, name), text);
    return resolve(folder, name);
  };
  const readinessProbe = { httpGet: { path: "/ok", port: 8_080 } };
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web", namespace, labels: { app: "web" } },
    spec: { serviceAccountName: "vm", containers: [{ name: "app", image: "none", readinessProbe }] },
  };
  const text = await write(
    ...["kube-inject", "-f", await file("pod.json", JSON.stringify(pod))],
    ...["--injectConfigFile", await file("inject.yaml", data("istio-sidecar-injector").config)],
    ...["--valuesFile", await file("values.json", data("istio-sidecar-injector").values)],
    ...["--meshConfigFile", await file("mesh.yaml", data("istio").mesh)],
  );
  const [first] = parseAllDocuments(text).map((one) => one.toJS() as KubeObject);
  const { initContainers = [], containers = [] } = first?.spec ?? {};
  const all = [...initContainers, ...containers] as readonly Container[];
  const container = all.find(({ name }) => name === "istio-proxy");
  if (container === undefined) throw new Error(`No istio-proxy was injected:\n${text}`);
  return container;
}

/** As the kubelet would fill it in; limits are unset. */
function podEnv(vars: readonly EnvVar[], fields: Readonly<Record<string, string>>): Record<string, string> {
  const known: Readonly<Record<string, string>> = {
    "status.podIP": "127.0.0.1",
    "status.hostIP": "127.0.0.1",
    "spec.serviceAccountName": "vm",
    "spec.nodeName": "laptop",
    ...fields,
  };
  const filled = vars.map(({ name, value, valueFrom }) => [name, value ?? known[valueFrom?.fieldRef?.fieldPath ?? ""]]);
  return Object.fromEntries(filled.filter(([, value]) => value !== undefined));
}
