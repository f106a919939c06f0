import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { proxyContainer } from "../cluster/injected-pod.ts";
import { type Cluster, hasCluster, startCluster } from "../cluster/start-cluster.ts";
import { childrenOf } from "../support/processes.ts";
import { startPod, type Volume } from "./start-pod.ts";
import { builtImage, type Unpacked, unpackImage } from "./unpacked-image.ts";

// The image as an injected pod runs it, under a real istiod; the kubelet's calls come from here.

describe.runIf(hasCluster() && process.getuid?.() === 0)("the image in an injected pod", { timeout: 180_000 }, () => {
  let cluster: Cluster;
  let image: Unpacked;
  let folder: string;
  beforeAll(async () => {
    [cluster, image] = await Promise.all([startCluster(), builtImage().then(unpackImage)]);
    folder = await mkdtemp(join(tmpdir(), "pb-pod-"));
  }, 600_000);
  afterAll(async () => {
    await image?.[Symbol.asyncDispose]();
    await cluster?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  test("becomes ready as the kubelet asks, drains by its preStop hook, and ends in its time", async () => {
    const { args, env } = sidecar(cluster.namespace);
    const volumes = await volumesOf(cluster);
    await using pod = await startPod({
      ...{ folder, image, args, env, volumes, istiod: cluster.discoveryAddress },
    });
    const probe = () => pod.get(15_021, "/healthz/ready");
    await expect.poll(async () => (await probe()).status, { interval: 1_000 }).toBe(200); // the startup probe's period
    const stats = (await pod.get(15_000, "/stats?filter=update_rejected")).text;
    expect(stats).toMatch(/listener_manager\.lds\.update_rejected: 0/);
    expect(stats).not.toMatch(/update_rejected: [1-9]/);
    expect((await pod.get(15_020, "/stats/prometheus")).text).toMatch(/^envoy_server_live\{\} 1$/m);

    const [agent = 0] = childrenOf(pod.command.pid);
    for (const pid of [agent, ...childrenOf(agent)]) {
      const status = await readFile(`/proc/${pid}/status`, "utf8");
      expect(status).toMatch(/^Uid:\t1337\t1337\t1337\t1337$/m);
      expect(status).toMatch(/^CapEff:\t0+$/m);
    }
    await expect(writeFile(`/proc/${agent}/root/etc/new`, "")).rejects.toMatchObject({ code: "EROFS" });

    pod.exec(["pilot-agent", "wait", "--url=http://localhost:15021/healthz/ready"]); // postStart, where it holds the application
    pod.exec(["pilot-agent", "request", "--debug-port=15020", "POST", "drain"]); // preStop
    await pod.command.waitFor(/drain/i);
    process.kill(agent, "SIGTERM");
    expect(await pod.command.ended).toEqual({ code: 0, signal: null });
  });

  test("a gateway's template becomes ready, and ends when the application's job calls /quitquitquit", async () => {
    const { args, env } = sidecar(cluster.namespace);
    const router = args.map((word) => (word === "sidecar" ? "router" : word));
    const volumes = await volumesOf(cluster);
    const options = { folder: join(folder, "gateway"), image, args: router, env, volumes };
    await mkdir(options.folder);
    await using pod = await startPod({ ...options, istiod: cluster.discoveryAddress });
    await expect.poll(async () => (await pod.get(15_021, "/healthz/ready")).status).toBe(200);
    pod.exec(["pilot-agent", "request", "--debug-port=15020", "POST", "quitquitquit"]);
    expect(await pod.command.ended).toEqual({ code: 0, signal: null });
  });
});

interface EnvVar {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: {
    readonly fieldRef?: { readonly fieldPath: string };
    readonly resourceFieldRef?: { readonly resource: string };
  };
}

/** The injector's words, with the fields that the kubelet fills in. */
function sidecar(namespace: string) {
  const { args, env } = proxyContainer();
  const fields: Record<string, string> = {
    "metadata.name": "shop-1",
    "metadata.namespace": namespace,
    "status.podIP": "127.0.0.1",
    "spec.serviceAccountName": "default",
    "status.hostIP": "127.0.0.1",
    "spec.nodeName": "node",
    "limits.cpu": "2",
    "limits.memory": "1073741824",
  };
  const value = (one: EnvVar) =>
    one.value ?? fields[one.valueFrom?.fieldRef?.fieldPath ?? one.valueFrom?.resourceFieldRef?.resource ?? ""] ?? "";
  return {
    args: args.map((word) => word.replace("$(POD_NAMESPACE)", namespace)),
    env: Object.fromEntries((env as EnvVar[]).map((one) => [one.name, value(one)])),
  };
}

async function volumesOf(cluster: Cluster): Promise<Volume[]> {
  return [
    { at: "/run/secrets/workload-spiffe-uds" },
    { at: "/run/secrets/credential-uds" },
    { at: "/run/secrets/workload-spiffe-credentials" },
    { at: "/var/lib/istio/data" },
    { at: "/etc/istio/proxy" },
    { at: "/run/secrets/istio", files: { "root-cert.pem": cluster.rootPem } },
    { at: "/run/secrets/tokens", files: { "istio-token": await cluster.token("default") } },
    { at: "/etc/istio/pod", files: { labels: 'app="shop"\nversion="v1"', annotations: 'istio.io/rev="default"' } },
  ];
}
