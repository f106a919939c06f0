import { Resolver } from "node:dns/promises";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runtimes } from "../support/pilotboat.ts";
import { freePorts } from "../support/ports.ts";
import { startMeshProxy } from "./mesh-proxy.ts";
import { type Cluster, hasCluster, startCluster } from "./start-cluster.ts";

describe.runIf(hasCluster()).each(runtimes())("DNS with a real istiod, on $name", { timeout: 120_000 }, (runtime) => {
  let cluster: Cluster;
  let folder: string;
  beforeAll(async () => {
    cluster = await startCluster();
    folder = await mkdtemp(join(tmpdir(), "pb-dns-"));
  }, 300_000);
  afterAll(async () => {
    await cluster?.[Symbol.asyncDispose]();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  test("a sidecar answers for services and service entries, and learns of new ones", async () => {
    const { namespace } = cluster;
    const metadata = { name: "ledger", namespace };
    await cluster.apply({ apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "client", namespace } });
    await cluster.apply({
      apiVersion: "v1",
      kind: "Service",
      metadata,
      spec: { ports: [{ name: "http", port: 80 }] },
    });
    const service = await cluster.api.get(`/api/v1/namespaces/${namespace}/services/ledger`);
    const { clusterIP } = (service as unknown as { readonly spec: { readonly clusterIP: string } }).spec;
    const [port = 0] = await freePorts(1);
    const env = { ISTIO_META_DNS_CAPTURE: "true", DNS_PROXY_ADDR: `127.0.0.1:${port}` };
    const labels = { app: "dns" };
    await using proxy = await startMeshProxy(runtime, cluster, { folder, account: "client", pod: "dns", labels, env });
    await expect.poll(() => proxy.readyStatus()).toBe(200);

    const resolver = new Resolver({ timeout: 2_000, tries: 1 });
    resolver.setServers([`127.0.0.1:${port}`]);
    for (const name of ["ledger", `ledger.${namespace}`, `ledger.${namespace}.svc.cluster.local`]) {
      expect(await resolver.resolve4(name)).toEqual([clusterIP]);
    }
    const host = `bank-${namespace}.example.com`;
    await cluster.apply({
      apiVersion: "networking.istio.io/v1",
      kind: "ServiceEntry",
      metadata: { name: "bank", namespace },
      spec: {
        hosts: [host],
        addresses: ["10.77.0.9"],
        ports: [{ number: 443, name: "tls", protocol: "TLS" }],
        resolution: "DNS",
      },
    });
    await expect.poll(() => resolver.resolve4(host).catch(({ code }) => code)).toEqual(["10.77.0.9"]);
  });
});
