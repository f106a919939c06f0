import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { run, runtimes } from "../support/pilotboat.ts";
import { freePorts } from "../support/ports.ts";
import { ask } from "./ask.ts";
import { type MeshProxy, startMeshProxy } from "./mesh-proxy.ts";
import { inboundSidecar, podAddress, scene, startApplication } from "./scene.ts";
import { type Cluster, hasCluster, startCluster } from "./start-cluster.ts";

// Two sidecars with strict mutual TLS and a gateway, under a real istiod whose mesh has accessLogFile: /dev/stdout.

describe.runIf(hasCluster()).each(runtimes())("with a real istiod, on $name", { timeout: 180_000 }, (runtime) => {
  let cluster: Cluster;
  let application: Awaited<ReturnType<typeof startApplication>>;
  let folder: string;
  const proxies: Record<string, MeshProxy> = {};
  const ports = { service: 0, gateway: 0 };

  beforeAll(async () => {
    cluster = await startCluster();
    application = await startApplication();
    folder = await mkdtemp(join(tmpdir(), "pb-mesh-"));
    [ports.service = 0, ports.gateway = 0] = await freePorts(2);
    for (const object of scene(cluster.namespace, { ...ports, app: application.port })) await cluster.apply(object);
    const address = await podAddress(cluster, "web");
    await cluster.apply(inboundSidecar(address, application.port));
    const start = (name: string, labels: Readonly<Record<string, string>>, more = {}): Promise<MeshProxy> =>
      startMeshProxy(runtime, cluster, { folder: join(folder, name), account: name, pod: name, labels, ...more });
    [proxies.web, proxies.client, proxies.gateway] = await Promise.all([
      start("web", { app: "web" }, { address }),
      start("client", { app: "client" }, { address: await podAddress(cluster, "client") }),
      start("gateway", { gateway: cluster.namespace }, { role: "router" }),
    ]);
  }, 300_000);
  afterAll(async () => {
    for (const proxy of Object.values(proxies)) await proxy[Symbol.asyncDispose]();
    application?.close();
    await cluster?.[Symbol.asyncDispose]();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  test("sidecar and gateway become ready, and Envoy refuses nothing of what istiod sends", async () => {
    for (const proxy of Object.values(proxies)) {
      await expect.poll(() => proxy.readyStatus()).toBe(200);
      expect(await proxy.rejectedUpdates()).toBe(0);
    }
  });

  test("filters that upstream's Envoy does not have were left out, each told once with what is lost", async () => {
    const metrics = `"istio.stats" (stats.PluginConfig); lost: Istio's standard metrics`;
    for (const [name, proxy] of Object.entries(proxies)) {
      await expect.poll(() => proxy.readyText()).toContain(metrics);
      await expect.poll(() => proxy.readyStatus()).toBe(200);
      const told = proxy.command
        .stdout()
        .split("\n")
        .filter((line) => line.includes("it is left out"));
      expect(told).toHaveLength(4);
      const { stdout } = await run(runtime, ["status", join(folder, name), "--config-path", "proxy"]);
      expect(stdout).toMatch(/^left out +istio\.alpn \(istio\.envoy\.config\.filter\.http\.alpn.*lost: /m);
    }
  });

  test("with refuse Envoy refuses them, and readiness names them and both remedies", async () => {
    const options = { folder: join(folder, "refusing"), account: "gateway", pod: "refusing", role: "router" } as const;
    const labels = { gateway: cluster.namespace };
    const env = { PILOTBOAT_STOCK_ENVOY: "refuse" };
    await using proxy = await startMeshProxy(runtime, cluster, { ...options, labels, env });
    await expect
      .poll(() => proxy.readyText())
      .toMatch(
        /^config received from XDS server, but was rejected: .*; Envoy rejected .*"istio\.alpn".*"istio\.stats"/,
      );
    const reason = await proxy.readyText();
    expect(reason).toContain("--stock-envoy adapt");
    expect(reason).toContain("Istio's Envoy (--envoy PATH");
    expect(reason).not.toContain("is Istiod running");
    expect(await proxy.readyStatus()).toBe(503);
  });

  test("a request from sidecar to sidecar is answered, and each side knows the other by its SPIFFE id", async () => {
    const answer = () => ask(ports.service, { host: `web.${cluster.namespace}.svc.cluster.local` });
    await expect.poll(async () => (await answer()).status).toBe(200);
    expect((await answer()).headers["x-forwarded-client-cert"]).toMatch(
      new RegExp(`By=${spiffe("web")};.*URI=${spiffe("client")}$`),
    );
  });

  test("a request through the gateway comes with the gateway's SPIFFE id", async () => {
    const answer = () => ask(ports.gateway, { host: "web.example.com" });
    await expect.poll(async () => (await answer()).status).toBe(200);
    expect((await answer()).headers["x-forwarded-client-cert"]).toContain(`URI=${spiffe("gateway")}`);
  });

  test("plain HTTP is refused where mutual TLS is strict", async () => {
    const address = await podAddress(cluster, "web");
    await expect(ask(application.port, { address })).rejects.toThrow(/socket hang up|ECONNRESET/);
  });

  test("the mesh's access log comes out of the agent's own stdout", async () => {
    for (const [name, line] of [
      ["web", /"GET \/ HTTP\/1\.1" 200 .*inbound\|/],
      ["client", /"GET \/ HTTP\/1\.1" 200 .*outbound\|/],
    ] as const) {
      await proxies[name]?.command.waitFor(line); // Envoy writes them every second
    }
  });

  test("a stop is orderly, and istiod forgets the proxy", async () => {
    const { client } = proxies;
    client?.command.kill("SIGTERM");
    expect((await client?.command.ended)?.code).toBe(0);
    const connected = async () => (await fetch(`${cluster.istiodDebug}/debug/syncz`)).text();
    await expect.poll(connected).not.toContain(`"client.${cluster.namespace}"`);
  });

  const spiffe = (account: string) => `spiffe://cluster.local/ns/${cluster.namespace}/sa/${account}`;
});
