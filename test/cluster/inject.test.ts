import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseAllDocuments, stringify } from "yaml";
import { runInProcess } from "../support/run-cli.ts";
import type { Cluster } from "./enter-cluster.ts";
import { MANIFESTS } from "./inject-manifests.ts";
import { type OwnCluster, startOwnCluster } from "./own-cluster.ts";
import { podsOf, withoutForm } from "./pods-of.ts";
import { hasCluster } from "./start-cluster.ts";
import { changeInjector, startWebhook, type Webhook } from "./webhook.ts";

// What the command prints is what the real webhook of a real istiod makes of the pods of the same manifests.

describe.runIf(hasCluster())("inject beside the real webhook", { timeout: 120_000 }, () => {
  let own: OwnCluster;
  let cluster: Cluster;
  let webhook: Webhook;
  let folder: string;
  /** Of the image alone. */
  let values: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "pb-inject-"));
    values = join(folder, "values.yaml");
    await writeFile(values, "global: { hub: registry.istio.io/testing, tag: latest }");
    own = await startOwnCluster();
    cluster = await own.enter();
    webhook = await startWebhook(cluster, own.istiod);
  }, 300_000);
  afterAll(async () => {
    await cluster?.[Symbol.asyncDispose]();
    await own?.[Symbol.asyncDispose]();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  const inject = async (manifest: unknown, ...words: readonly string[]) => {
    const file = join(folder, "manifest.yaml");
    await writeFile(file, stringify(manifest));
    const args = ["inject", "-f", file, "--kubeconfig", cluster.kubeconfig, "--image", "istio", "-n", "shop", ...words];
    const { code, stdout, stderr } = await runInProcess(args, { cwd: folder, env: process.env });
    return { code, stderr, output: parseAllDocuments(stdout)[0]?.toJS() };
  };

  test.each(Object.entries(MANIFESTS))("%s", async (title, manifest) => {
    const { code, stderr, output } = await inject(manifest);
    expect([code, stderr]).toEqual([0, ""]);
    const wanted = await Promise.all(podsOf(manifest).map((pod) => webhook.inject(pod, "shop")));
    expect(wanted.length).toBeGreaterThan(0);
    expect(podsOf(output).map(withoutForm)).toEqual(wanted.map(withoutForm));
    if (/grpc|two templates/i.test(title)) return; // templates that are not built in
    const alone = await inject(manifest, "--built-in", "--valuesFile", values);
    expect([alone.code, alone.stderr]).toEqual([0, ""]);
    expect(podsOf(alone.output).map(withoutForm)).toEqual(wanted.map(withoutForm));
  });

  const template = (metadata: object, spec: object = {}) => ({
    ...{ apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "web" } },
    spec: { template: { metadata, spec: { containers: [{ name: "app", image: "nginx" }], ...spec } } },
  });
  const [oddPort, envoyPort] = ["http", "15090"].map((port) => ({ "prometheus.io/port": port }));
  const refused = [
    ...[oddPort, envoyPort, { "inject.istio.io/templates": "sidecar,nothing" }],
    { "sidecar.istio.io/proxyMemoryLimit": "1 Gi" },
    { "sidecar.istio.io/interceptionMode": "none" },
    { "status.sidecar.istio.io/port": "70000" },
    { "traffic.sidecar.istio.io/includeOutboundIPRanges": "10.0.0.1" },
    { "traffic.sidecar.istio.io/excludeInboundPorts": "80,http" },
    { "traffic.sidecar.istio.io/excludeInterfaces": "an-interface-with-a-long-name" },
    { "prometheus.istio.io/merge-metrics": "maybe" },
    { "proxy.istio.io/config": "drainDuration: 1ms" },
    { "proxy.istio.io/config": "{" },
    { "proxy.istio.io/overrides": "{" },
  ];
  test.each(refused)("both refuse %o", async (annotations) => {
    const manifest = template({ annotations });
    const { code, output } = await inject(manifest);
    expect([code, output]).toEqual([2, undefined]);
    const [pod] = podsOf(manifest);
    await expect(webhook.inject(pod, "shop")).rejects.toThrow();
  });

  test("what was injected before is injected again", async () => {
    const [pod] = podsOf(MANIFESTS["a container istio-proxy that overrides"]);
    const once = { ...(await webhook.inject(pod, "shop")), apiVersion: "v1", kind: "Pod" };
    const { output } = await inject(once);
    expect(withoutForm(output)).toEqual(withoutForm(await webhook.inject(once, "shop")));
  });

  test("resources of ProxyConfig: of the mesh, of the namespace, of the workload", async () => {
    const namespaces = ["shop"].map((name) => ({ apiVersion: "v1", kind: "Namespace", metadata: { name } }));
    const resource = (name: string, namespace: string, spec: object) => ({
      ...{ apiVersion: "networking.istio.io/v1beta1", kind: "ProxyConfig", metadata: { name, namespace } },
      spec,
    });
    const selector = { matchLabels: { app: "web" } };
    const resources = [
      resource("mesh", "istio-system", {
        environmentVariables: { A: "mesh", B: "mesh" },
        image: { imageType: "debug" },
      }),
      resource("all", "shop", { environmentVariables: { B: "namespace" }, concurrency: 2 }),
      resource("web", "shop", { selector, concurrency: 7, image: { imageType: "distroless" } }),
      resource("other", "shop", { selector: { matchLabels: { app: "none" } }, concurrency: 9 }),
    ];
    for (const object of [...namespaces, ...resources]) await cluster.api.apply(object);
    const annotations = { "proxy.istio.io/config": "concurrency: 5\nproxyMetadata: {C: annotation}" };
    const manifests = [{ labels: { app: "web" }, annotations }, { labels: { app: "cart" }, annotations }, {}].map(
      (one) => template(one),
    );
    const [first] = podsOf(manifests[0]);
    await expect
      .poll(async () => JSON.stringify(await webhook.inject(first, "shop")), { timeout: 60_000 })
      .toContain('\\"concurrency\\":7,');
    for (const manifest of manifests) {
      const [pod] = podsOf(manifest);
      const { stderr, output } = await inject(manifest);
      expect([stderr, withoutForm(podsOf(output)[0])]).toEqual(["", withoutForm(await webhook.inject(pod, "shop"))]);
    }
    for (const { metadata } of resources) {
      await cluster.api.delete(
        `/apis/networking.istio.io/v1beta1/namespaces/${metadata.namespace}/proxyconfigs/${metadata.name}`,
      );
    }
    await expect
      .poll(async () => JSON.stringify(await webhook.inject(first, "shop")), { timeout: 60_000 })
      .toContain('\\"concurrency\\":5,');
    await expect
      .poll(async () => JSON.stringify(await webhook.inject(first, "shop")), { timeout: 60_000 })
      .not.toContain('mesh\\"');
  });

  describe("with other values", () => {
    const rounds = {
      "CNI, a network, a cluster, pull secrets": {
        pilot: { cni: { enabled: true } },
        global: {
          ...{ network: "n1", meshID: "m1", logAsJson: true, imagePullPolicy: "Always", imagePullSecrets: ["one"] },
          ...{ multiCluster: { clusterName: "c1" }, caAddress: "ca.example.com:443", nativeNftables: true },
          proxy: { excludeOutboundPorts: "9999", outlierLogPath: "/dev/stdout", startupProbe: { enabled: false } },
        },
      },
      "held applications, privileged, force-apply": {
        global: {
          proxy: {
            holdApplicationUntilProxyStarts: true,
            privileged: true,
            clusterDomain: "example.org",
            statusPort: 15_020,
          },
          ...{
            proxy_init: { forceApplyIptables: true },
            variant: "debug",
            sts: { servicePort: 15_463 },
            tag: "1.31-distroless",
          },
        },
        sidecarInjectorWebhook: { rewriteAppHTTPProbe: false },
      },
    };
    test.each(Object.entries(rounds))("%s", { timeout: 180_000 }, async (_, change) => {
      await changeInjector(cluster, webhook, change);
      const own = join(folder, "own-values.yaml");
      const hub = { hub: "registry.istio.io/testing", tag: "latest" };
      await writeFile(own, stringify({ ...change, global: { ...hub, ...change.global } }));
      for (const [title, manifest] of Object.entries(MANIFESTS)) {
        const wanted = await Promise.all(podsOf(manifest).map((pod) => webhook.inject(pod, "shop")));
        const { stderr, output } = await inject(manifest);
        expect([title, stderr, podsOf(output).map(withoutForm)]).toEqual([title, "", wanted.map(withoutForm)]);
        if (/grpc|two templates/i.test(title)) continue; // templates that are not built in
        const alone = await inject(manifest, "--built-in", "--valuesFile", own);
        const unmarked = wanted.map((pod) => {
          const { mark: _mark, ...annotations } = pod.metadata.annotations;
          return { ...pod, metadata: { ...pod.metadata, annotations } };
        });
        expect([title, podsOf(alone.output).map(withoutForm)]).toEqual([title, unmarked.map(withoutForm)]);
      }
    });

    test("both leave alone what a selector, a label or the host's network keeps out", async () => {
      const neverInjectSelector = [{ matchExpressions: [{ key: "job", operator: "Exists" }] }];
      const alwaysInjectSelector = [{ matchLabels: { tier: "front" } }];
      await changeInjector(cluster, webhook, {}, { policy: "disabled", neverInjectSelector, alwaysInjectSelector });
      const cases = [
        template({}),
        template({ labels: { job: "a", tier: "front" } }),
        template({ labels: { tier: "front" } }),
        template({ labels: { job: "a", "sidecar.istio.io/inject": "true" } }),
        template({ labels: { tier: "front" }, annotations: { "sidecar.istio.io/inject": "false" } }),
        template({ labels: { tier: "front" } }, { hostNetwork: true }),
      ];
      const isInjected = (pod: { spec: { containers: object[] } } | undefined) =>
        (pod?.spec.containers.length ?? 0) > 1;
      const answers = await Promise.all(cases.flatMap(podsOf).map((pod) => webhook.inject(pod, "shop")));
      const printed = [];
      for (const manifest of cases) printed.push(podsOf((await inject(manifest)).output)[0]);
      expect(printed.map(isInjected)).toEqual(answers.map(isInjected));
      expect(printed.map(isInjected)).toEqual([false, false, true, true, false, false]);
    });
  });
});
