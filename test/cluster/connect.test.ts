import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PATHS } from "../../src/istio/index.ts";
import { type RunningCommand, run, runtimes, start } from "../support/pilotboat.ts";
import { startFaultyApi } from "./faulty-api.ts";
import { startStandIn } from "./istiod-stand-in.ts";
import { startMeshProxy } from "./mesh-proxy.ts";
import { namesAt } from "./names-at.ts";
import { type Cluster, hasCluster, startCluster } from "./start-cluster.ts";

interface Connected {
  readonly discoveryAddress: string;
  readonly istiodSan: string;
  readonly revision: string;
  readonly pod: string;
}

describe.runIf(hasCluster()).each(runtimes())(
  "a laptop against a cluster, on $name",
  { timeout: 180_000 },
  (runtime) => {
    let cluster: Cluster;
    let folder: string;
    let env: Record<string, string>;

    beforeAll(async () => {
      cluster = await startCluster();
      folder = await mkdtemp(join(tmpdir(), "pb-laptop-"));
      env = { KUBECONFIG: cluster.kubeconfig };
      await cluster.apply({ apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "web" } });
    }, 300_000);
    afterAll(async () => {
      await cluster?.[Symbol.asyncDispose]();
      if (folder !== undefined) await rm(folder, { recursive: true, force: true });
    });

    const credentials = (runFolder: string, ...more: string[]) =>
      run(
        runtime,
        ["credentials", "-n", cluster.namespace, "--service-account", "web", "--run-folder", runFolder, ...more],
        { env },
      );

    test("a sidecar with the credentials of `credentials` gets ready through the port of `connect`", async () => {
      const runFolder = join(folder, "ready");
      expect(await credentials(runFolder)).toMatchObject({ code: 0, stderr: "" });
      await using connect = start(runtime, ["connect", "-o", "json"], { env });
      const { discoveryAddress, ...rest } = await connected(connect);
      expect(rest).toMatchObject({ istiodSan: "istiod.istio-system.svc", pod: "istiod-0", revision: "default" });
      const options = { folder: runFolder, account: "web", pod: "web", labels: { app: "web" } };
      await using proxy = await startMeshProxy(runtime, cluster, {
        ...options,
        proxyConfig: { discoveryAddress },
        hasCredentials: true,
      });
      await expect.poll(proxy.readyStatus, { timeout: 60_000 }).toBe(200);
      connect.kill("SIGTERM");
      expect((await connect.ended).code).toBe(0);
      expect(connect.stderr()).toBe("");
    });

    test("when the pod dies another is taken, and the sidecar's streams come back without a restart", async () => {
      const revision = `${cluster.namespace}-two`;
      await using first = await startStandIn(cluster, { name: `${revision}-a`, revision, address: "127.2.0.1" });
      await using second = await startStandIn(cluster, { name: `${revision}-b`, revision, address: "127.2.0.2" });
      const runFolder = join(folder, "two");
      await credentials(runFolder);
      await using connect = start(runtime, ["connect", "--revision", revision, "-o", "json"], { env });
      const { discoveryAddress, pod } = await connected(connect);
      const [used, other] = pod.endsWith("-a") ? [first, second] : [second, first];
      const options = { folder: runFolder, account: "web", pod: "two", labels: { app: "two" } };
      await using proxy = await startMeshProxy(runtime, cluster, {
        ...options,
        proxyConfig: { discoveryAddress },
        hasCredentials: true,
      });
      await expect.poll(proxy.readyStatus, { timeout: 60_000 }).toBe(200);
      expect(other.connections()).toBe(0);

      const killedMs = performance.now();
      await used.kill();
      await expect.poll(other.connections, { timeout: 60_000, interval: 20 }).toBeGreaterThan(0);
      console.log(`${runtime.name}: another istiod after ${Math.round(performance.now() - killedMs)} ms`);
      await connect.waitFor(/Another istiod is used now/);
      expect(await proxy.readyStatus()).toBe(200);
      const connectedTo = async () => (await fetch(`${cluster.istiodDebug}/debug/syncz`)).text();
      await expect.poll(connectedTo, { timeout: 60_000 }).toContain(`"two.${cluster.namespace}"`);
    });

    test("pods that say nothing are passed over, at the start and later", async () => {
      const revision = `${cluster.namespace}-silent`;
      const pod = (letter: string, at: number, serve?: () => void) =>
        startStandIn(cluster, {
          ...{ name: `${revision}-${letter}`, revision, address: `127.2.1.${at}` },
          ...(serve !== undefined && { serve }),
        });
      await using _a = await pod("a", 1, () => undefined);
      await using _b = await pod("b", 2, () => undefined);
      await using _c = await pod("c", 3, () => undefined);
      await using _good = await pod("good", 4);
      await using api = await startFaultyApi(cluster);
      const kubeconfig = join(folder, "kubeconfig-faulty");
      await writeFile(kubeconfig, api.kubeconfig, { mode: 0o600 });
      await using connect = start(runtime, ["connect", "--revision", revision, "-o", "json"], {
        env: { KUBECONFIG: kubeconfig },
      });
      const { discoveryAddress, pod: used } = await connected(connect);
      expect(used).toBe(`${revision}-good`);
      await using _other = await pod("other", 5);
      api.break(/-(a|b|c|good)\/portforward/, "hang");
      const port = Number(discoveryAddress.split(":")[1]);
      await expect.poll(() => namesAt(port).catch(String), { timeout: 60_000 }).toContain("istiod.istio-system.svc");
      expect(connect.stderr()).toMatch(/Another istiod is used now.*-other.*no answer within 3 s/);
    });

    test("when none answers the last failure is told", async () => {
      const revision = `${cluster.namespace}-none`;
      const options = { revision, serve: () => undefined };
      await using _a = await startStandIn(cluster, { ...options, name: `${revision}-a`, address: "127.2.2.1" });
      await using _b = await startStandIn(cluster, { ...options, name: `${revision}-b`, address: "127.2.2.2" });
      const { code, stderr } = await run(runtime, ["connect", "--revision", revision], { env });
      expect(code).toBe(1);
      expect(stderr).toMatch(/Cannot reach istiod's pod ".*-none-[ab]" .*no answer within 3 s \[KUBE_UNREACHABLE\]/);
    });

    test("credentials are those of the account, mode 0600, and istiod's own root", async () => {
      const runFolder = join(folder, "files");
      const { stdout, code } = await credentials(runFolder, "--duration", "20m", "-o", "json");
      expect(code).toBe(0);
      const token = join(runFolder, PATHS.token);
      const root = join(runFolder, PATHS.controlPlaneRoot);
      expect(JSON.parse(stdout)).toMatchObject({
        namespace: cluster.namespace,
        serviceAccount: "web",
        files: { token, root },
      });
      for (const file of [token, root]) expect((await stat(file)).mode & 0o777).toBe(0o600);
      expect(await readFile(root, "utf8")).toBe(cluster.rootPem);
      const claims = JSON.parse(
        Buffer.from((await readFile(token, "utf8")).split(".")[1] ?? "", "base64url").toString(),
      );
      expect(claims).toMatchObject({ aud: ["istio-ca"], sub: `system:serviceaccount:${cluster.namespace}:web` });
      expect(claims.exp - claims.iat).toBe(1_200);
    });
  },
);

/** What `connect -o json` prints once it is up. */
async function connected(command: RunningCommand): Promise<Connected> {
  await command.waitFor(/^}$/m);
  return JSON.parse(command.stdout()) as Connected;
}
