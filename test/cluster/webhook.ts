import { request } from "node:https";
import { parse, parseAllDocuments, stringify } from "yaml";
import { readBody } from "../../src/base/index.ts";
import { findIstioctl, runIstioctl } from "../support/istioctl.ts";
import type { Cluster } from "./enter-cluster.ts";
import type { KubeObject } from "./kube-api.ts";
import type { Istiod } from "./run-istiod.ts";

// istiod's injection webhook, asked as the API server would ask it.

type Tree = Readonly<Record<string, unknown>>;
// biome-ignore lint/suspicious/noExplicitAny: manifests of every kind
type Loose = any;

/** The injector's ConfigMap as Istio's charts render it with these settings: `values.cni.enabled=true`. */
export async function injectorConfigMap(settings: readonly string[] = []): Promise<KubeObject> {
  const words = ["manifest", "generate", ...settings.flatMap((one) => ["--set", one])];
  const text = await runIstioctl(findIstioctl() ?? "", words, {});
  const objects = parseAllDocuments(text).map((document) => document.toJS() as KubeObject | null);
  const found = objects.find((one) => one?.kind === "ConfigMap" && one.metadata.name === "istio-sidecar-injector");
  if (found === undefined || found === null) throw new Error("istioctl renders no ConfigMap of the injector");
  const { name, namespace } = found.metadata;
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name, ...(namespace && { namespace }) }, data: found.data };
}

/** istiod looks for the ConfigMap when it starts. */
export async function startWebhook(cluster: Cluster, istiod: Istiod): Promise<Webhook> {
  await cluster.api.apply(await injectorConfigMap());
  await istiod.kill();
  await istiod.start();
  return askWebhook(cluster);
}

/** Of an istiod that has found the ConfigMap. */
export async function askWebhook(cluster: Cluster): Promise<Webhook> {
  const { spec } = await cluster.api.get("/api/v1/namespaces/istio-system/services/istiod");
  const port = Number(spec.ports.find((one: Loose) => one.port === 443).targetPort);
  return { inject: (pod, namespace) => ask({ port, ca: cluster.rootPem }, pod, namespace) };
}

/** Changes the injector's values, and waits until istiod has them. The policy's other fields lie over its `config`. */
export async function changeInjector(
  cluster: Cluster,
  webhook: Webhook,
  values: Tree,
  config: Tree = {},
): Promise<void> {
  const map = await injectorConfigMap();
  const mark = String(performance.now());
  const changed = { ...parse(map.data.config), injectedAnnotations: { mark }, ...config };
  const data = { config: stringify(changed), values: JSON.stringify(merged(JSON.parse(map.data.values), values)) };
  await cluster.api.apply({ ...map, data });
  const asked = {
    metadata: { labels: { "sidecar.istio.io/inject": "true" } },
    spec: { containers: [{ name: "a", image: "a", resources: {} }] },
  };
  const endMs = performance.now() + 60_000; // istiod reads it within a second; a busy machine may take longer
  while (
    (await webhook.inject({ apiVersion: "v1", kind: "Pod", ...asked }, "shop")).metadata.annotations.mark !== mark
  ) {
    if (performance.now() > endMs) throw new Error("istiod does not see the injector's new ConfigMap");
    await new Promise((done) => setTimeout(done, 50));
  }
}

function merged(below: Loose, above: Loose): Loose {
  if (typeof below !== "object" || typeof above !== "object" || Array.isArray(above)) return above;
  const entries = Object.entries(above).map(([key, value]) => [key, key in below ? merged(below[key], value) : value]);
  return { ...below, ...Object.fromEntries(entries) };
}

export interface Webhook {
  /** The pod as the webhook changes it; rejects with what it refuses it for. */
  inject(pod: Tree, namespace: string): Promise<Loose>;
}

async function ask({ port, ca }: { port: number; ca: string }, pod: Tree, namespace: string): Promise<Loose> {
  const kind = { group: "", version: "v1", kind: "Pod" };
  const review = {
    apiVersion: "admission.k8s.io/v1",
    kind: "AdmissionReview",
    request: { uid: "1", kind, resource: { ...kind, resource: "pods" }, namespace, operation: "CREATE", object: pod },
  };
  const answer = await new Promise<Loose>((done, fail) => {
    const headers = { "content-type": "application/json" };
    const options = { ca, servername: "istiod.istio-system.svc", method: "POST", headers };
    const call = request(`https://127.0.0.1:${port}/inject`, options, (response) => {
      readBody(response).then((bytes) => done(JSON.parse(bytes.toString())), fail);
    });
    call.once("error", fail).end(JSON.stringify(review));
  });
  const { response } = answer;
  if (response.allowed !== true) throw new Error(response.status?.message ?? response.result?.message);
  const patch = response.patch === undefined ? [] : JSON.parse(Buffer.from(response.patch, "base64").toString());
  return applyPatch(structuredClone(pod), patch);
}

interface Step {
  readonly op: "add" | "remove" | "replace";
  readonly path: string;
  readonly value?: unknown;
}

/** RFC 6902, as far as istiod uses it. */
function applyPatch(document: Loose, patch: readonly Step[]): Loose {
  for (const { op, path, value } of patch) {
    const keys = path
      .split("/")
      .slice(1)
      .map((key) => key.replaceAll("~1", "/").replaceAll("~0", "~"));
    const last = keys.pop() ?? "";
    const parent = keys.reduce((at, key) => at[key], document);
    if (!Array.isArray(parent)) {
      if (op === "remove") delete parent[last];
      else parent[last] = value;
    } else if (op === "add") parent.splice(last === "-" ? parent.length : Number(last), 0, value);
    else parent.splice(Number(last), 1, ...(op === "replace" ? [value] : []));
  }
  return document;
}
