import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runtimes } from "../support/pilotboat.ts";
import { freePorts } from "../support/ports.ts";
import type { KubeObject } from "./kube-api.ts";
import { type MeshProxy, startMeshProxy } from "./mesh-proxy.ts";
import { type OwnCluster, startOwnCluster } from "./own-cluster.ts";
import { type Cluster, hasCluster } from "./start-cluster.ts";
import { shownStatus } from "./web-and-client.ts";

// istiod registers a virtual machine, and lists it as an endpoint while its agent says that it is healthy.

describe.runIf(hasCluster())("the health of a virtual machine", { timeout: 180_000 }, () => {
  let own: OwnCluster;
  let folder: string;
  beforeAll(async () => {
    own = await startOwnCluster();
    folder = await mkdtemp(join(tmpdir(), "pb-health-"));
  }, 300_000);
  afterAll(async () => {
    await own?.[Symbol.asyncDispose]();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  test.each(runtimes())("follows the application, also over a restart of istiod, on $name", async (runtime) => {
    await using cluster = await own.enter();
    const [port = 0] = await freePorts(1);
    for (const object of groupAndService(port)) await cluster.apply(object);
    await using vm = await startMeshProxy(runtime, cluster, {
      ...{ folder: join(folder, runtime.name), account: "vm", pod: "vm", labels: { app: "vm" } },
      env: { ISTIO_META_AUTO_REGISTER_GROUP: "vm" },
      proxyConfig: { readinessProbe: { httpGet: { path: "/ready", port }, periodSeconds: 1 } },
    });
    await expect.poll(() => vm.readyStatus()).toBe(200);
    // by the first answer, as in the reference: Envoy comes first, and later reasons change no verdict
    expect(await untilHealth(cluster, "False")).toMatch(/config not received from XDS server|ECONNREFUSED/);
    expect(await hasEndpoint(vm, port)).toBe(false);
    await expect
      .poll(() => shownStatus(runtime, vm))
      .toMatch(/workload +unhealthy for \S+: GET http:.*\/ready; last error .*REFUSED/);
    expect(await vm.readyText()).toContain("the workload is reported unhealthy: ");

    const app = await startApplication(port);
    try {
      await untilHealth(cluster, "True");
      await expect.poll(() => hasEndpoint(vm, port)).toBe(true);
      expect((await vm.report()).health).toMatchObject({ state: "healthy", lastProbeMs: expect.any(Number) });

      app.answer(500);
      expect(await untilHealth(cluster, "False")).toBe("status code was not from [200,400), bad code 500");
      await expect.poll(() => hasEndpoint(vm, port)).toBe(false);
      const metrics = await (await fetch(`${vm.statusUrl}/metrics`)).text();
      expect(metrics).toMatch(/^istio_agent_workload_healthy 0$/m);
      expect(metrics).toMatch(/^istio_agent_workload_health_probes_total\{result="healthy"\} [1-9]/m);

      await own.istiod.kill();
      app.answer(200);
      await expect.poll(async () => (await vm.report()).health?.state).toBe("healthy");
      await own.istiod.start();
      await untilHealth(cluster, "True");
      await expect.poll(() => hasEndpoint(vm, port)).toBe(true);
    } finally {
      app.close();
    }
    await untilHealth(cluster, "False");
    expect(await vm.rejectedUpdates()).toBe(0);
  });
});

async function startApplication(port: number) {
  let status = 200;
  const server: Server = createServer((_, response) => void response.writeHead(status).end());
  await new Promise<void>((done) => server.listen(port, "127.0.0.1", done));
  return {
    answer(next: number) {
      status = next;
    },
    close: () => void server.close().closeAllConnections(),
  };
}

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly message?: string;
}

/** Waits for the condition `Healthy` of the only entry. Gives its message. */
async function untilHealth({ api, namespace }: Cluster, wanted: string): Promise<string> {
  const conditionOf = ({ items }: KubeObject): Condition | undefined =>
    (items[0]?.status?.conditions as Condition[] | undefined)?.find(({ type }) => type === "Healthy");
  const path = `/apis/networking.istio.io/v1/namespaces/${namespace}/workloadentries`;
  const entries = await api.until(path, (list) => conditionOf(list)?.status === wanted);
  return conditionOf(entries)?.message ?? "";
}

/** Whether Envoy's own cluster of the service has the virtual machine as an endpoint. */
async function hasEndpoint({ adminPort }: MeshProxy, port: number): Promise<boolean> {
  const clusters = await (await fetch(`http://127.0.0.1:${adminPort}/clusters`)).text();
  return new RegExp(`^outbound\\|80\\|\\|vm\\..*::127\\.0\\.0\\.1:${port}::health_flags::healthy$`, "m").test(clusters);
}

function groupAndService(port: number): KubeObject[] {
  return [
    { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "vm" } },
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "vm" },
      spec: { selector: { app: "vm" }, ports: [{ name: "http", port: 80, targetPort: port }] },
    },
    {
      apiVersion: "networking.istio.io/v1",
      kind: "WorkloadGroup",
      metadata: { name: "vm" },
      spec: {
        metadata: { labels: { app: "vm" } },
        template: { serviceAccount: "vm", ports: { http: port } },
        probe: { httpGet: { path: "/ready", port } },
      },
    },
  ];
}
