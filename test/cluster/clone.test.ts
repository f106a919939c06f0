import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type RunningCommand, run, runtimes, start } from "../support/pilotboat.ts";
import { freePorts } from "../support/ports.ts";
import { realEnvoy } from "../support/real-envoy.ts";
import { ask } from "./ask.ts";
import { injectedPod } from "./injected-pod.ts";
import { type MeshProxy, startMeshProxy } from "./mesh-proxy.ts";
import { inboundSidecar, podAddress, scene, startApplication } from "./scene.ts";
import { type Cluster, hasCluster, startCluster } from "./start-cluster.ts";

// A mesh service `web` behind a sidecar with strict mutual TLS, and pods whose identity a laptop takes. Their addresses
// are not this machine's, as with a real cluster.

describe.runIf(hasCluster()).each(runtimes())("clone, on $name", { timeout: 180_000 }, (runtime) => {
  let cluster: Cluster;
  let application: Awaited<ReturnType<typeof startApplication>>;
  let folder: string;
  let web: MeshProxy;
  let env: Record<string, string>;
  const ports = { service: 0, gateway: 0 };

  beforeAll(async () => {
    cluster = await startCluster();
    application = await startApplication();
    folder = await mkdtemp(join(tmpdir(), "pb-clone-"));
    [ports.service = 0, ports.gateway = 0] = await freePorts(2);
    for (const object of scene(cluster.namespace, { ...ports, app: application.port })) await cluster.apply(object);
    const address = await podAddress(cluster, "web");
    await cluster.apply(inboundSidecar(address, application.port));
    for (const object of pods()) await cluster.apply(object);
    for (const name of ["shop-a", "shop-b", "native", "bare"]) await podAddress(cluster, name);
    web = await startMeshProxy(runtime, cluster, {
      ...{ folder: join(folder, "web"), account: "web", pod: "web", labels: { app: "web" }, address },
    });
    env = {
      KUBECONFIG: cluster.kubeconfig,
      TMPDIR: folder,
      PROXY_CONFIG: JSON.stringify({ binaryPath: await realEnvoy() }),
    };
  }, 300_000);
  afterAll(async () => {
    await web?.[Symbol.asyncDispose]();
    application?.close();
    await cluster?.[Symbol.asyncDispose]();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  const clone = (name: string, ...more: string[]) => ["clone", name, "-n", cluster.namespace, ...more];
  const spiffe = (account: string) => `spiffe://cluster.local/ns/${cluster.namespace}/sa/${account}`;
  const authority = () => `web.${cluster.namespace}.svc.cluster.local:${ports.service}`;
  const leftFolders = async () => (await readdir(folder)).filter((name) => /^(pilotboat|pb)-.{6}$/.test(name));

  test.each([
    ["a pod with the injected container", "shop-a", "shop"],
    ["a pod with a native sidecar", "native", "shop"],
    ["a pod without a sidecar", "bare", "bare"],
  ])("%s: a request over mutual TLS has the pod's SPIFFE id", async (_, pod, account) => {
    await using command = start(runtime, clone(pod), { env });
    const answer = through(await httpProxy(command), authority());
    await expect.poll(async () => (await answer()).status, { timeout: 60_000 }).toBe(200);
    const { headers } = await answer();
    expect(headers["x-forwarded-client-cert"]).toMatch(new RegExp(`By=${spiffe("web")};.*URI=${spiffe(account)}$`));
    const connected = async () => (await fetch(`${cluster.istiodDebug}/debug/syncz`)).text();
    expect(await connected()).toContain(`"${pod}.${cluster.namespace}"`);
    await end(command);
    expect(await leftFolders()).toEqual([]);
  });

  test("a program beside it reaches the mesh, and its exit code is the command's", async () => {
    const script = `require("http").get({host: "127.0.0.1", port: new URL(process.env.PILOTBOAT_HTTP_PROXY).port,
      path: "http://" + process.argv[1] + "/", headers: {host: process.argv[1]}}, (a) => a.pipe(process.stdout).on("end",
      () => 0) && a.on("end", () => process.exit(a.statusCode === 200 ? 7 : 1)))`;
    await expect.poll(web.readyStatus, { timeout: 60_000 }).toBe(200);
    const words = ["--", process.execPath, "-e", script, authority()];
    const { code, stdout } = await run(runtime, clone("deploy/shop", ...words), { env });
    expect(stdout).toContain(`URI=${spiffe("shop")}`);
    expect(code).toBe(7);
    expect(await leftFolders()).toEqual([]);
  });

  test("the first Ctrl-C lets an open request finish", async () => {
    await using command = start(runtime, clone("shop-a", "--verbose"), { env });
    const port = await httpProxy(command);
    await expect.poll(async () => (await through(port, authority())()).status, { timeout: 60_000 }).toBe(200);
    const answer = ask(port, { host: authority(), path: `http://${authority()}/held` });
    await expect.poll(application.held).toBe(1);
    command.kill("SIGINT");
    await command.waitFor(/Connections are still open/);
    application.release();
    expect((await answer).status).toBe(200);
    expect((await command.ended).code).toBe(0);
    expect(await leftFolders()).toEqual([]);
  });

  test("two clones at once have ports of their own", async () => {
    await using first = start(runtime, clone("shop-a"), { env });
    await first.waitFor(READY);
    await using second = start(runtime, clone("bare"), { env });
    await second.waitFor(READY);
    for (const [command, account] of [
      [first, "shop"],
      [second, "bare"],
    ] as const) {
      const answer = through(await httpProxy(command), authority());
      await expect.poll(async () => (await answer()).status, { timeout: 60_000 }).toBe(200);
      expect((await answer()).headers["x-forwarded-client-cert"]).toContain(`URI=${spiffe(account)}`);
      expect(command.stderr()).not.toContain("Envoy shares port");
    }
    await second.waitFor(new RegExp(`moved +127\\.0\\.0\\.1:${ports.service} is at \\d+: taken`));
    for (const command of [first, second]) await end(command);
  });

  test("kill -9 leaves no Envoy, and the next clone removes the folder", async () => {
    await using command = start(runtime, clone("shop-a"), { env });
    const [, admin = ""] = await command.waitFor(/envoy admin +http:\/\/127\.0\.0\.1:(\d+)/);
    expect(await leftFolders()).toHaveLength(1);
    command.kill("SIGKILL");
    await command.ended;
    await expect.poll(() => ask(Number(admin)).catch(() => "gone")).toBe("gone");
    await using next = start(runtime, clone("shop-b"), { env });
    await next.waitFor(READY);
    expect(await leftFolders()).toHaveLength(1);
    await end(next);
  });

  test.each([
    ["deploy/shop", "shop-a"],
    ["svc/shop", "shop-a"],
    ["pod/shop-b", "shop-b"],
  ])("--dry-run of %s tells what pod %s is for istiod, and does nothing", async (name, pod) => {
    const { code, stdout, stderr } = await run(runtime, clone(name, "--dry-run", "-o", "json"), { env });
    expect([code, stderr]).toEqual([0, ""]);
    const { presents, changes } = JSON.parse(stdout);
    const address = pod === "shop-a" ? "10.9.0.1" : "10.9.0.2";
    expect(presents).toMatchObject({
      id: `sidecar~${address}~${pod}.${cluster.namespace}~${cluster.namespace}.svc.cluster.local`,
      ...{ namespace: cluster.namespace, serviceAccount: "shop", cluster: "Kubernetes", revision: "default" },
      ...{ workload: "shop", labels: { app: "shop", "security.istio.io/tlsMode": "istio" } },
    });
    const names = (changes as { names: string[] }[]).flatMap((one) => one.names);
    expect(names).toEqual(expect.arrayContaining(["CA_ADDR", "discoveryAddress", "ISTIO_META_INTERCEPTION_MODE"]));
    expect(await leftFolders()).toEqual([]);
    const text = await run(runtime, clone(name, "--dry-run"), { env });
    expect(text.stdout).toMatch(/^ {2}service account +shop$/m);
  });

  test("a context named prod-eu is asked about, and closed standard input refuses; --yes and --dry-run do not ask", async () => {
    const kubeconfig = join(folder, "prod");
    const text = (await readFile(cluster.kubeconfig, "utf8")).replaceAll('"test"', '"prod-eu"');
    await writeFile(kubeconfig, text, { mode: 0o600 });
    const production = { env: { ...env, KUBECONFIG: kubeconfig } };
    const refused = await run(runtime, clone("shop-a"), production);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toMatch(/Context "prod-eu" .*looks like production/);
    expect(await leftFolders()).toEqual([]);
    expect((await run(runtime, clone("shop-a", "--dry-run"), production)).code).toBe(0);
    await using command = start(runtime, clone("shop-a", "--yes"), production);
    await command.waitFor(READY);
    await end(command);
  });

  test.each([
    ["shop-c", /Cannot read pod "shop-c".*there is "shop-a", "shop-b"/],
    ["deploy/shopp", /Cannot read deployment "shopp".*there is "shop"/],
    ["svc/wep", /Cannot read service "wep".*there is .*"web"/],
    ["job/x", /Cannot read "job\/x"/],
  ])("%s is not there: near names are told", async (name, expected) => {
    const { code, stderr } = await run(runtime, clone(name), { env });
    expect(stderr).toMatch(expected);
    expect(code).not.toBe(0);
  });

  function pods() {
    const labels = { app: "shop" };
    const account = (name: string) => ({ apiVersion: "v1", kind: "ServiceAccount", metadata: { name } });
    const bare = {
      metadata: { name: "bare", labels: { app: "bare" }, annotations: { "cluster.test/address": "10.9.0.4" } },
    };
    const selector = { matchLabels: labels };
    return [
      ...["shop", "bare"].map(account),
      injectedPod({ name: "shop-a", account: "shop", labels, address: "10.9.0.1" }),
      injectedPod({ name: "shop-b", account: "shop", labels, address: "10.9.0.2" }),
      injectedPod({ name: "native", account: "shop", labels: { app: "native" }, address: "10.9.0.3", isNative: true }),
      {
        apiVersion: "v1",
        kind: "Pod",
        ...bare,
        spec: { serviceAccountName: "bare", containers: [{ name: "app", image: "none" }] },
      },
      {
        ...{ apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "shop" } },
        spec: {
          replicas: 0,
          selector,
          template: { metadata: { labels }, spec: { containers: [{ name: "app", image: "none" }] } },
        },
      },
      {
        apiVersion: "v1",
        kind: "Service",
        metadata: { name: "shop" },
        spec: { selector: labels, ports: [{ name: "http", port: 80 }] },
      },
    ];
  }
});

const READY = /the proxy is ready after/;

/** The port of Envoy as an HTTP proxy, once the sidecar is ready. */
async function httpProxy(command: RunningCommand): Promise<number> {
  const [, port = ""] = await command.waitFor(/^ +http proxy +http:\/\/127\.0\.0\.1:(\d+)/m);
  return Number(port);
}

/** Ctrl-C. */
async function end(command: RunningCommand): Promise<void> {
  command.kill("SIGINT");
  expect((await command.ended).code).toBe(0);
}

/** A request through an HTTP proxy. */
function through(proxy: number, authority: string) {
  return () => ask(proxy, { host: authority, path: `http://${authority}/` });
}
