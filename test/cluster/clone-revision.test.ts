import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { run, runtimes } from "../support/pilotboat.ts";
import type { KubeObject } from "./kube-api.ts";
import { podAddress } from "./scene.ts";
import { type Cluster, hasCluster, startCluster } from "./start-cluster.ts";

// Namespaces with istiods of several revisions, as the API server has them; nothing of them runs. A dry run asks no istiod.

describe.runIf(hasCluster()).each(runtimes())(
  "the revision of a pod without a sidecar, on $name",
  { timeout: 120_000 },
  (runtime) => {
    let cluster: Cluster;
    let folder: string;
    let env: Record<string, string>;

    beforeAll(async () => {
      cluster = await startCluster();
      folder = await mkdtemp(join(tmpdir(), "pb-revision-"));
      env = { KUBECONFIG: cluster.kubeconfig, TMPDIR: folder };
      for (const object of revisions()) await cluster.apply(object);
      for (const name of ["plain", "labelled", "tagged", "annotated"]) await podAddress(cluster, name);
    }, 300_000);
    afterAll(async () => {
      await cluster?.[Symbol.asyncDispose]();
      if (folder !== undefined) await rm(folder, { recursive: true, force: true });
    });

    const dryRun = (name: string, ...more: readonly string[]) => {
      const words = ["-n", cluster.namespace, "--istio-namespace", cluster.namespace, "--dry-run", "-o", "json"];
      return run(runtime, ["clone", name, ...words, ...more], { env });
    };
    const told = async (name: string, ...more: readonly string[]) => {
      const { stdout, stderr } = await dryRun(name, ...more);
      expect(stderr).toBe("");
      return JSON.parse(stdout) as {
        presents: { revision?: string; trustDomain: string; cluster: string };
        changes: { names: string[]; here?: string; why: string }[];
      };
    };
    const label = (labels: Readonly<Record<string, string | null>>) =>
      cluster.api.patch(`/api/v1/namespaces/${cluster.namespace}`, { metadata: { labels } });

    test.each([
      ["labelled", [], "canary"],
      ["annotated", [], "stable"],
      ["tagged", [], "canary"],
      ["plain", ["--revision", "stable"], "stable"],
      ["plain", ["--revision", "prod"], "canary"],
    ] as const)("of pod %s with %s is %s, and so are the facts of its mesh", async (pod, words, revision) => {
      const { presents, changes } = await told(pod, ...words);
      expect(presents).toMatchObject({ revision, trustDomain: `${revision}.example`, cluster: `of-${revision}` });
      expect(changes.flatMap(({ names }) => names).filter((name) => name.startsWith("ConfigMap"))).toEqual([]);
    });

    test("is the one of the namespace, where the pod does not say it", async () => {
      await label({ "istio.io/rev": "canary" });
      expect((await told("plain")).presents).toMatchObject({ revision: "canary", trustDomain: "canary.example" });
      await label({ "istio.io/rev": "prod" });
      expect((await told("plain")).presents).toMatchObject({ revision: "canary" });
      await label({ "istio.io/rev": null, "istio-injection": "enabled" });
      const { code, stderr } = await dryRun("plain");
      expect(code).toBe(2); // there is no default
      expect(stderr).toMatch(
        /there are several revisions \[USAGE\]\n {2}hint: Name one: --revision canary, --revision st/,
      );
      await label({ "istio-injection": null });
    });

    test("has to be named where nothing says it, and is the only one where there is one", async () => {
      expect((await dryRun("plain")).stderr).toMatch(/there are several revisions \[USAGE\]/);
      const pod = `/api/v1/namespaces/${cluster.namespace}/pods/istiod-stable`;
      await cluster.api.delete(`${pod}?gracePeriodSeconds=0`);
      await expect
        .poll(() =>
          cluster.api.get(pod).then(
            () => "there",
            () => "gone",
          ),
        )
        .toBe("gone");
      expect((await told("plain")).presents).toMatchObject({ revision: "canary", trustDomain: "canary.example" });
      await cluster.apply(istiod("stable"));
      await podAddress(cluster, "istiod-stable");
    });

    test("a ConfigMap of it that is not there, or may not be read, is named", async () => {
      const { changes } = await told("plain", "--revision", "bare");
      const why = "it is not there";
      for (const name of ["istio-bare", "istio-sidecar-injector-bare"]) {
        const what = `ConfigMap "${name}" in namespace "${cluster.namespace}"`;
        expect(changes).toContainEqual({ names: [what], here: "Istio's own defaults", why });
      }
      env.KUBECONFIG = await somebodyWhoSeesPods();
      const limited = await told("labelled");
      env.KUBECONFIG = cluster.kubeconfig;
      expect(limited.presents.revision).toBe("canary");
      expect(limited.changes).toContainEqual({
        names: [`ConfigMap "istio-canary" in namespace "${cluster.namespace}"`],
        here: "Istio's own defaults",
        why: "you may not read it",
      });
    });

    async function somebodyWhoSeesPods(): Promise<string> {
      const rbac = "rbac.authorization.k8s.io";
      const metadata = { name: "viewer" };
      const rules = [{ apiGroups: [""], resources: ["pods"], verbs: ["get", "list"] }];
      await cluster.apply({ apiVersion: "v1", kind: "ServiceAccount", metadata });
      await cluster.apply({ apiVersion: `${rbac}/v1`, kind: "Role", metadata, rules });
      await cluster.apply({
        ...{ apiVersion: `${rbac}/v1`, kind: "RoleBinding", metadata },
        roleRef: { apiGroup: rbac, kind: "Role", name: "viewer" },
        subjects: [{ kind: "ServiceAccount", name: "viewer", namespace: cluster.namespace }],
      });
      const token = await cluster.token("viewer", { audience: "https://kubernetes.default.svc.cluster.local" });
      const ca = Buffer.from(cluster.access.ca).toString("base64");
      const file = join(folder, "kubeconfig-viewer");
      const config = {
        ...{ apiVersion: "v1", kind: "Config", "current-context": "viewer" },
        contexts: [{ name: "viewer", context: { cluster: "c", user: "u", namespace: cluster.namespace } }],
        clusters: [{ name: "c", cluster: { server: cluster.access.url, "certificate-authority-data": ca } }],
        users: [{ name: "u", user: { token } }],
      };
      await writeFile(file, JSON.stringify(config), { mode: 0o600 });
      await expect.poll(async () => (await dryRun("labelled", "--kubeconfig", file)).code, { timeout: 30_000 }).toBe(0);
      return file;
    }

    function revisions(): readonly KubeObject[] {
      return [
        ...["canary", "stable"].flatMap((revision) => [istiod(revision), ...configMaps(revision)]),
        ...[
          pod("plain", {}),
          pod("labelled", { labels: { "istio.io/rev": "canary" } }),
          pod("tagged", { labels: { "istio.io/rev": "prod" } }),
          pod("annotated", { labels: { "istio.io/rev": "canary" }, annotations: { "istio.io/rev": "stable" } }),
        ],
        {
          apiVersion: "v1",
          kind: "Service",
          metadata: {
            name: "istiod-revision-tag-prod",
            labels: { app: "istiod", "istio.io/rev": "canary", "istio.io/tag": "prod" },
          },
          spec: { selector: { app: "istiod", "istio.io/rev": "canary" }, ports: [{ name: "https-dns", port: 15_012 }] },
        },
      ];
    }
  },
);

function pod(name: string, metadata: Omit<KubeObject["metadata"], "name">, env: readonly object[] = []): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, ...metadata },
    spec: { containers: [{ name: "app", image: "none", env }] },
  };
}

function istiod(revision: string): KubeObject {
  const labels = { app: "istiod", "istio.io/rev": revision };
  return pod(`istiod-${revision}`, { labels }, [{ name: "CLUSTER_ID", value: `of-${revision}` }]);
}

function configMaps(revision: string): readonly KubeObject[] {
  const map = (name: string, data: Readonly<Record<string, string>>): KubeObject => ({
    ...{ apiVersion: "v1", kind: "ConfigMap", metadata: { name: `${name}-${revision}` } },
    data,
  });
  return [
    map("istio", { mesh: `trustDomain: ${revision}.example\n` }),
    map("istio-sidecar-injector", { values: JSON.stringify({ global: { meshID: `mesh-${revision}` } }) }),
  ];
}
