import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { freePorts } from "../../src/base/index.ts";
import { runtimes, start } from "../support/pilotboat.ts";
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
  const host = () => `web.${cluster.namespace}.svc.cluster.local`;
  const leftFolders = async () => (await readdir(folder)).filter((name) => /^(pilotboat|pb)-.{6}$/.test(name));

  test.each([
    ["a pod with the injected container", "shop-a", "shop"],
    ["a pod with a native sidecar", "native", "shop"],
    ["a pod without a sidecar", "bare", "bare"],
  ])("%s: a request over mutual TLS has the pod's SPIFFE id", async (_, pod, account) => {
    await using command = start(runtime, clone(pod), { env });
    await command.waitFor(READY);
    await expect.poll(async () => (await ask(ports.service, { host: host() })).status, { timeout: 60_000 }).toBe(200);
    const { headers } = await ask(ports.service, { host: host() });
    expect(headers["x-forwarded-client-cert"]).toMatch(new RegExp(`By=${spiffe("web")};.*URI=${spiffe(account)}$`));
    const connected = async () => (await fetch(`${cluster.istiodDebug}/debug/syncz`)).text();
    expect(await connected()).toContain(`"${pod}.${cluster.namespace}"`);
    command.kill("SIGINT");
    expect((await command.ended).code).toBe(0);
    expect(await leftFolders()).toEqual([]);
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
