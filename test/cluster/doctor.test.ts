import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { writeFileAtomically } from "../../src/base/index.ts";
import { PATHS } from "../../src/istio/index.ts";
import { type Runtime, run, runtimes } from "../support/pilotboat.ts";
import { freePorts } from "../support/ports.ts";
import { createTestCa } from "../support/test-ca.ts";
import { type FaultyApi, startFaultyApi } from "./faulty-api.ts";
import { startMeshProxy } from "./mesh-proxy.ts";
import { signedToken } from "./signed-token.ts";
import { type Cluster, hasCluster, startCluster } from "./start-cluster.ts";

interface Report {
  readonly worst: string;
  readonly checks: readonly {
    readonly name: string;
    readonly state: string;
    readonly found: string;
    readonly fix?: string;
  }[];
}

interface Scene {
  readonly cluster: Cluster;
  readonly api: FaultyApi;
  /** The run folder; it has good credentials. */
  readonly folder: string;
}

interface Planted {
  readonly plant?: (scene: Scene) => Promise<void>;
  readonly words?: (scene: Scene) => readonly string[];
  readonly env?: (scene: Scene) => Promise<Readonly<Record<string, string>>>;
  /** Default: failed. */
  readonly state?: string;
  readonly check: string;
  readonly found: RegExp;
  readonly fix: RegExp;
}

const CREDENTIALS = /^Run: pilotboat credentials -n t-\w+ --service-account web --run-folder /;

const PLANTED: Readonly<Record<string, Planted>> = {
  "an expired token": {
    plant: async ({ cluster, folder }) => {
      const times = { iat: 1_700_000_000, nbf: 1_700_000_000, exp: 1_700_003_600 };
      await writeFileAtomically(join(folder, PATHS.token), await signedToken(cluster, "web", times));
    },
    check: "token",
    found: /^it expired at 2023-11-14T23:13:20Z$/,
    fix: CREDENTIALS,
  },
  "a token for another audience": {
    plant: async ({ cluster, folder }) =>
      writeFileAtomically(join(folder, PATHS.token), await cluster.token("web", { audience: "vault" })),
    check: "token at istiod",
    found: /^Unauthenticated: .*the token is for audience "vault", and istiod wants "istio-ca"/,
    fix: CREDENTIALS,
  },
  "a foreign root": {
    plant: async ({ folder }) =>
      writeFileAtomically(join(folder, PATHS.controlPlaneRoot), (await createTestCa("O=somebody else")).certPem),
    check: "root at istiod",
    found:
      /^istiod's certificate is not trusted .* is signed by "O=cluster\.local", and ".*" holds the root ".*somebody else"/,
    fix: CREDENTIALS,
  },
  "a clock that is wrong": {
    plant: async ({ api }) => api.break(/^GET \/version$/, { dateAheadMs: 600_000 }),
    check: "clock",
    found: /^this machine's is (59\d|60\d) s behind the API server's/,
    fix: /^Set the clock/,
  },
  "a port that is taken": {
    env: async () => ({ PROXY_CONFIG: JSON.stringify({ ...(await ports()), statusPort: takenPort() }) }),
    check: "ports",
    found: new RegExp(`^\\d+ \\(status\\) is held by .+ \\(pid ${process.pid}\\)$`),
    fix: /^Stop it, or set statusPort; "pilotboat run" takes free ports/,
  },
  "a right that is missing": {
    env: async ({ cluster, api, folder }) => ({ KUBECONFIG: await somebodyWithoutRights(cluster, api, folder) }),
    check: "rights: connect",
    found:
      /^you may not "list" "pods" in namespace "istio-system", "create" "pods\/portforward" in namespace "istio-system"; it works without "get" "pods\/portforward" .*: SPDY .*; without "list" "services" .*: port 15012/,
    fix: /Role "pilotboat-connect" of docs\/cluster\.md, or: apiGroups: \[""\], resources: \["pods"\], verbs: \["list"\]/,
  },
  "no istiod": {
    words: ({ cluster }) => ["--istio-namespace", cluster.namespace],
    check: "istiod",
    found: /^Cannot find an istiod of revision "default" in namespace "t-\w+"/,
    fix: /--istio-namespace/,
  },
  "a cluster id that istiod does not know": {
    env: async () => ({ ISTIO_META_CLUSTER_ID: "nowhere" }),
    check: "cluster id",
    found: /^istiod does not know the cluster "nowhere" \(ISTIO_META_CLUSTER_ID\)/,
    fix: /^export ISTIO_META_CLUSTER_ID=Kubernetes$/,
  },
  "an Envoy without Istio's extensions": {
    state: "warning",
    check: "Envoy's extensions",
    found: /^it does not have .*istio\.stats.*, which istiod sends/,
    fix: /--stock-envoy adapt .*pilotboat envoy fetch --istio/,
  },
  "an unknown revision": {
    words: () => ["--revision", "canary"],
    check: "istiod",
    found: /^Cannot find an istiod of revision "canary"/,
    fix: /^There are: .*--revision default/,
  },
};

let holder: Server;
const takenPort = (): number => (holder.address() as AddressInfo).port;

describe.runIf(hasCluster()).each(runtimes())("the doctor, on $name", { timeout: 90_000 }, (runtime) => {
  let scene: Scene;
  let env: Record<string, string>;

  beforeAll(async () => {
    const cluster = await startCluster();
    const folder = await mkdtemp(join(tmpdir(), "pb-doctor-"));
    scene = { cluster, folder, api: await startFaultyApi(cluster) };
    await cluster.apply({ apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "web" } });
    await writeFile(join(folder, "kubeconfig"), scene.api.kubeconfig, { mode: 0o600 });
    holder = createServer();
    await new Promise<void>((done) => holder.listen(0, done));
    env = {
      KUBECONFIG: join(folder, "kubeconfig"),
      POD_NAMESPACE: cluster.namespace,
      SERVICE_ACCOUNT: "web",
      ISTIO_META_CLUSTER_ID: "Kubernetes",
      PROXY_CONFIG: JSON.stringify(await ports()),
      ENVOY_STATUS_PORT: String((await freePorts(1))[0]),
      ENVOY_PROMETHEUS_PORT: String((await freePorts(1))[0]),
    };
    await cluster.writeCredentials(folder, "web");
  }, 300_000);
  afterEach(async () => {
    scene.api.mend();
    await scene.cluster.writeCredentials(scene.folder, "web");
  });
  afterAll(async () => {
    holder?.close();
    await scene?.api[Symbol.asyncDispose]();
    await scene?.cluster[Symbol.asyncDispose]();
    if (scene !== undefined) await rm(scene.folder, { recursive: true, force: true });
  });

  test("all is well: nothing failed, exit code 0", async () => {
    const { code, report } = await doctor(runtime, scene.folder, env);
    expect(report.checks.filter(({ state }) => state === "failed" || state === "skipped")).toEqual([]);
    expect(report.checks.map(({ name }) => name)).toEqual(
      expect.arrayContaining(["clock", "token at istiod", "cluster id"]),
    );
    expect({ code, worst: report.worst }).toEqual({ code: 0, worst: "warning" }); // Envoy's extensions
    const { stdout } = await run(runtime, ["doctor", scene.folder], { env });
    expect(stdout).toMatch(/^token at istiod +ok: istiod takes it$/m);
  });

  test.each(Object.keys(PLANTED))("%s is named, with its fix", async (name) => {
    const { plant, words, env: more, state = "failed", check, found, fix } = PLANTED[name] as Planted;
    await plant?.(scene);
    const all = { ...env, ...(await more?.(scene)) };
    const { code, report } = await doctor(runtime, scene.folder, all, words?.(scene));
    const finding = report.checks.find((one) => one.name === check);
    expect(finding).toEqual({
      name: check,
      state,
      found: expect.stringMatching(found),
      fix: expect.stringMatching(fix),
    });
    expect(code).toBe(state === "failed" ? 1 : 0);
  });

  test("rights that a command works without are no failure, and those for one Service are asked with its name", async () => {
    const { cluster, api, folder } = scene;
    const kubeconfig = await somebodyWithoutRights(cluster, api, folder);
    await grantNecessary(cluster);
    const asJane = (...words: string[]) => doctor(runtime, folder, { ...env, KUBECONFIG: kubeconfig }, words);
    const rightsOf = ({ report }: { report: Report }) =>
      Object.fromEntries(report.checks.map(({ name, state, found }) => [name, `${state}: ${found}`]));
    const failedFor = ({ report }: { report: Report }) => report.checks.filter(({ state }) => state === "failed");
    await expect.poll(async () => failedFor(await asJane()), { timeout: 15_000 }).toEqual([]);
    const well = await asJane();
    expect(well.code).toBe(0);
    const found = rightsOf(well);
    expect(found["rights: connect"]).toMatch(/^warning: it works without "get" "pods\/portforward" [^;]*: SPDY/);
    expect(found["rights: credentials"]).toMatch(
      /^warning: it works without "get" "configmaps" "istio-ca-root-cert" in/,
    );
    expect(found["rights: use-local-istiod"]).toMatch(/^ok: /);
    expect(found["rights: clone"]).toMatch(/^warning: you may not "get" "pods" .*; it works without "list" "pods"/);
    const canary = rightsOf(await asJane("--revision", "canary"));
    expect(canary["rights: use-local-istiod"]).toMatch(/^warning: you may not "get" "services" "istiod-canary" in/);
  });

  test("without a cluster: this machine is looked at, and the rest is skipped with its reason", async () => {
    const home = join(scene.folder, "home");
    await mkdir(home, { recursive: true });
    const { KUBECONFIG: _, ...without } = env;
    const nowhere = await doctor(runtime, scene.folder, { ...without, HOME: home, ENVOY_BIN: "/bin/true" });
    const skipped = nowhere.report.checks.filter(({ state }) => state === "skipped");
    expect(skipped.map(({ name }) => name)).toEqual(
      expect.arrayContaining(["kube context", "clock", "istiod", "versions"]),
    );
    expect(skipped.at(-1)?.found).toMatch(/there is no kubeconfig, and this is no pod/);
    scene.api.break(/./, "cut");
    const { code, report } = await doctor(runtime, scene.folder, env, ["--request-timeout", "2s"]);
    expect(code).toBe(1);
    const states = Object.fromEntries(report.checks.map((one) => [one.name, one.state]));
    expect(states).toMatchObject({ token: "ok", root: "ok", ports: "ok", "API server": "failed", clock: "skipped" });
  });

  test("on the folder of a running agent: its ports are its own, and what it knows is shown", async () => {
    const folder = join(scene.folder, "agent");
    const options = { folder, account: "web", pod: "web", labels: { app: "web" } };
    await using proxy = await startMeshProxy(runtime, scene.cluster, options);
    await expect.poll(proxy.readyStatus, { timeout: 60_000 }).toBe(200);
    const { controlPlane } = await proxy.report();
    const statusPort = Number(new URL(proxy.statusUrl).port);
    const config = JSON.stringify({ proxyAdminPort: proxy.adminPort, statusPort, configPath: "proxy" });
    const { report } = await doctor(runtime, folder, { ...env, PROXY_CONFIG: config }, ["--config-path", "proxy"]);
    const found = Object.fromEntries(report.checks.map((one) => [one.name, `${one.state}: ${one.found}`]));
    expect(found.agent).toMatch(new RegExp(`^ok: pid ${proxy.command.pid}; control plane ${controlPlane.address}: `));
    expect(found.ports).toMatch(/^ok: .* are this agent's, or free$/);
    expect(found["Envoy's extensions"]).toMatch(/^warning: istiod sent what this Envoy does not have/);
  });
});

async function doctor(
  runtime: Runtime,
  folder: string,
  env: Readonly<Record<string, string>>,
  more: readonly string[] = [],
): Promise<{ readonly code: number | null; readonly report: Report }> {
  const { code, stdout, stderr } = await run(runtime, ["doctor", folder, "-o", "json", ...more], { env });
  expect(stderr).toBe("");
  return { code, report: JSON.parse(stdout) as Report };
}

async function ports() {
  const [proxyAdminPort, statusPort] = await freePorts(2);
  return { proxyAdminPort, statusPort };
}

/** What no command can do without, but for `clone` and `gateway`. */
async function grantNecessary(cluster: Cluster): Promise<void> {
  const rbac = "rbac.authorization.k8s.io";
  const rule = (group: string, resource: string, verbs: readonly string[], name?: string) => ({
    ...{ apiGroups: [group], resources: [resource], verbs },
    ...(name !== undefined && { resourceNames: [name] }),
  });
  const roles = {
    [cluster.namespace]: [rule("", "serviceaccounts/token", ["create"], "web")],
    "istio-system": [
      rule("", "pods", ["list"]),
      rule("", "pods/portforward", ["create"]),
      rule("", "services", ["list"]), // istiod of the test cluster is not on 15012
      rule("", "services", ["get", "patch"], "istiod"),
      rule("", "endpoints", ["get", "create", "delete"]),
      rule("discovery.k8s.io", "endpointslices", ["list", "get", "create", "delete"]),
    ],
  };
  for (const [namespace, rules] of Object.entries(roles)) {
    const metadata = { name: `jane-${cluster.namespace}`, namespace };
    await cluster.apply({ apiVersion: `${rbac}/v1`, kind: "Role", metadata, rules });
    await cluster.apply({
      ...{ apiVersion: `${rbac}/v1`, kind: "RoleBinding", metadata },
      roleRef: { apiGroup: rbac, kind: "Role", name: metadata.name },
      subjects: [{ kind: "ServiceAccount", name: "jane", namespace: cluster.namespace }],
    });
  }
}

async function somebodyWithoutRights(cluster: Cluster, api: FaultyApi, folder: string): Promise<string> {
  await cluster.apply({ apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "jane" } });
  const token = await cluster.token("jane", { audience: "https://kubernetes.default.svc.cluster.local" });
  const file = join(folder, "kubeconfig-jane");
  const config = { ...JSON.parse(api.kubeconfig), users: [{ name: "admin", user: { token } }] };
  await writeFile(file, JSON.stringify(config), { mode: 0o600 });
  return file;
}
