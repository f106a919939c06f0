import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { PATHS } from "../../src/istio/index.ts";
import { run, runtimes, start } from "../support/pilotboat.ts";
import { type Fault, type FaultyApi, startFaultyApi } from "./faulty-api.ts";
import { namesAt } from "./names-at.ts";
import { type Cluster, hasCluster, startCluster } from "./start-cluster.ts";

const STATUS = (code: number, message: string): Fault => ({
  status: code,
  body: JSON.stringify({ kind: "Status", apiVersion: "v1", status: "Failure", message, code }),
});
const NO_SECRET = 'User "jane" cannot get resource "configmaps" in API group "" in the namespace "x"';

/** Each fault, and what a person reads; `credentials` and `connect` meet all of them at each of their calls. */
const FAULTS: readonly (readonly [name: string, fault: Fault, told: RegExp])[] = [
  ["cuts the connection", "cut", /cannot be reached: .*\[KUBE_UNREACHABLE\]/],
  ["does not answer", "hang", /cannot be reached: no answer within 2 s.*\[KUBE_UNREACHABLE\]/],
  [
    "answers 401",
    STATUS(401, "Unauthorized"),
    /does not know us: it answered 401 "Unauthorized" \[KUBE_UNAUTHENTICATED\]/,
  ],
  ["answers 409", STATUS(409, "the object has been modified"), /409 "the object has been modified" \[KUBE_CONFLICT\]/],
  ["answers 500", STATUS(500, "etcd is away"), /answered 500 "etcd is away" \[KUBE_REFUSED\]/],
];

describe.runIf(hasCluster()).each(runtimes())("an API server in trouble, on $name", { timeout: 120_000 }, (runtime) => {
  let cluster: Cluster;
  let api: FaultyApi;
  let folder: string;
  let env: Record<string, string>;

  beforeAll(async () => {
    cluster = await startCluster();
    api = await startFaultyApi(cluster);
    folder = await mkdtemp(join(tmpdir(), "pb-faulty-"));
    env = { KUBECONFIG: join(folder, "kubeconfig") };
    await writeFile(env.KUBECONFIG ?? "", api.kubeconfig, { mode: 0o600 });
    await cluster.writeCredentials(folder, "default");
  }, 300_000);
  afterEach(() => api.mend());
  afterAll(async () => {
    await api?.[Symbol.asyncDispose]();
    await cluster?.[Symbol.asyncDispose]();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  const pilotboat = (command: string, ...more: string[]) =>
    run(runtime, [command, "--request-timeout", "2s", ...more], { env, cwd: folder });
  const files = async () => {
    const names = (await readdir(folder, { recursive: true })).sort();
    const texts = [PATHS.token, PATHS.controlPlaneRoot].map((path) => readFile(join(folder, path), "utf8"));
    return { names, texts: await Promise.all(texts) };
  };

  describe.each([
    ["credentials", /^POST .*\/token$/],
    ["credentials", /^GET .*\/configmaps\//],
    ["connect", /^GET .*\/pods\?/],
    ["connect", /^GET .*\/services\?/],
    ["connect", /\/portforward /],
  ] as const)("%s, at %s", (command, path) => {
    test.each(FAULTS)("%s: it says so, and the files stay as they were", async (_name, fault, told) => {
      const before = await files();
      api.break(path, fault);
      const { code, stderr, stdout } = await pilotboat(command);
      expect(stderr).toMatch(told);
      expect(stderr).toContain('context "faulty"');
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
      expect(await files()).toEqual(before);
    });
  });

  test("a busy API server, and one connection that is cut, are asked again", async () => {
    for (const fault of ["cut", "half", { status: 429, body: "{}", headers: { "retry-after": "0" } }] as const) {
      api.break(/token$/, fault, 2);
      expect(await run(runtime, ["credentials"], { env, cwd: folder })).toMatchObject({ code: 0, stderr: "" });
    }
  });

  test("a page that is no answer of Kubernetes is told as such", async () => {
    api.break(/./, { status: 200, body: "<html>Log in</html>" });
    expect((await pilotboat("credentials")).stderr).toMatch(/does not speak the Kubernetes API \[KUBE_UNREACHABLE\]/);
  });

  test("without the ConfigMaps the root comes from the Secret of the CA, and is the same", async () => {
    api.break(/configmaps/, STATUS(403, `configmaps is forbidden: ${NO_SECRET}`));
    const { stdout, code } = await pilotboat("credentials");
    expect(code).toBe(0);
    expect(stdout).toContain('Secret "istio-ca-secret" in namespace "istio-system"');
    expect((await files()).texts[1]?.trim()).toBe(cluster.rootPem.trim());
    api.break(/configmaps|secrets/, STATUS(403, `configmaps is forbidden: ${NO_SECRET}`));
    expect((await pilotboat("credentials")).stderr).toMatch(
      /Cannot find the root certificate.*\[ROOT_CA_UNUSABLE\](\n +Cannot read .* may not "get" .*){4}\n/,
    );
  });

  test("a WebSocket that is refused gives way to SPDY", async () => {
    api.break(/websocket$/, { status: 400, body: "no upgrade here" });
    const before = api.seen.length;
    await using connect = start(runtime, ["connect", "-o", "json"], { env, cwd: folder });
    await connect.waitFor(/^}$/m);
    const { discoveryAddress } = JSON.parse(connect.stdout()) as { discoveryAddress: string };
    expect(await namesAt(Number(discoveryAddress.split(":")[1]))).toContain("istiod.istio-system.svc");
    const upgrades = api.seen.slice(before).filter((line) => line.includes("portforward"));
    expect(upgrades.map((line) => line.split(" ").at(-1))).toEqual(["websocket", "SPDY/3.1", "websocket", "SPDY/3.1"]);
  });

  test("what was not found is told with what there is", async () => {
    await cluster.apply({ apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "frontend" } });
    const account = await pilotboat("credentials", "--service-account", "fronted");
    expect(account.stderr).toMatch(/service account "fronted".*there is none; there is "frontend".*\[KUBE_NOT_FOUND\]/);
    expect(account.stderr).toContain('Did you mean service account "frontend"?');
    const place = await pilotboat("credentials", "-n", "istio-sytem");
    expect(place.stderr).toMatch(/there is no namespace "istio-sytem"/);
    expect(place.stderr).toContain('Did you mean namespace "istio-system"?');
    const revision = await pilotboat("connect", "--revision", "canary");
    expect(revision.stderr).toMatch(
      /no pod with app=istiod of it \[KUBE_NOT_FOUND\]\n {2}hint: There are: .*--revision default/,
    );
  });

  test("the Roles of docs/cluster.md are enough, and without them verb and resource are named", async () => {
    const user = await limitedUser();
    const asUser = { KUBECONFIG: user };
    const words = ["-n", cluster.namespace, "--service-account", "cart", "--run-folder", join(folder, "cart")];
    const before = await run(runtime, ["credentials", ...words], { env: asUser });
    expect(before.stderr).toMatch(/may not "create" "serviceaccounts\/token" \[KUBE_FORBIDDEN\]/);
    expect(before.stderr).toContain(
      `It takes a Role in namespace "${cluster.namespace}" with apiGroups: [""], resources: ["serviceaccounts/token"], verbs: ["create"]`,
    );
    expect((await run(runtime, ["connect"], { env: asUser })).stderr).toMatch(
      /may not "list" "pods" \[KUBE_FORBIDDEN\]/,
    );
    await grantDocumented();
    await expect.poll(async () => (await run(runtime, ["credentials", ...words], { env: asUser })).code).toBe(0);
    await using connect = start(runtime, ["connect"], { env: asUser });
    await connect.waitFor(/^istiod +localhost:\d+, now pod istiod-0/m);
  });

  /** The kubeconfig of somebody without any right. */
  async function limitedUser(): Promise<string> {
    for (const name of ["jane", "cart"])
      await cluster.apply({ apiVersion: "v1", kind: "ServiceAccount", metadata: { name } });
    const token = await cluster.token("jane", { audience: "https://kubernetes.default.svc.cluster.local" });
    const { users, ...rest } = JSON.parse(api.kubeconfig);
    const file = join(folder, "kubeconfig-jane");
    await writeFile(file, JSON.stringify({ ...rest, users: [{ name: "admin", user: { token } }] }), { mode: 0o600 });
    return file;
  }

  async function grantDocumented(): Promise<void> {
    const page = await readFile("docs/cluster.md", "utf8");
    const [, yaml = ""] = /```yaml\n([\s\S]*?)```/.exec(page) ?? [];
    for (const document of parseAllDocuments(yaml.replaceAll("shop", cluster.namespace))) {
      const role = document.toJS();
      await cluster.apply(role);
      await cluster.apply({
        apiVersion: role.apiVersion,
        kind: "RoleBinding",
        metadata: { name: `jane-${cluster.namespace}-${role.metadata.name}`, namespace: role.metadata.namespace },
        roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: role.metadata.name },
        subjects: [{ kind: "ServiceAccount", name: "jane", namespace: cluster.namespace }],
      });
    }
  }
});
