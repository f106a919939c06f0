import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { run, runtimes, start } from "../support/pilotboat.ts";
import { freePorts } from "../support/ports.ts";
import { realEnvoy } from "../support/real-envoy.ts";
import { CLUSTER_FILES, cachedCluster } from "./binaries.ts";
import { type Cluster, hasCluster, startCluster } from "./start-cluster.ts";

const istioctl = join(cachedCluster() ?? "", CLUSTER_FILES.istioctl);

describe.runIf(hasCluster()).each(runtimes())(
  "pilotboat xds with a real istiod, on $name",
  { timeout: 120_000 },
  (runtime) => {
    let cluster: Cluster;
    let folder: string;
    beforeAll(async () => {
      cluster = await startCluster();
      folder = await mkdtemp(join(tmpdir(), "pb-xds-"));
      const metadata = { name: "client", namespace: cluster.namespace };
      await cluster.apply({ apiVersion: "v1", kind: "ServiceAccount", metadata });
      const spec = { ports: [{ name: "http", port: 80 }] };
      await cluster.apply({ apiVersion: "v1", kind: "Service", metadata: { ...metadata, name: "ledger" }, spec });
      await cluster.writeCredentials(folder, "client", { namespace: cluster.namespace });
    }, 300_000);
    afterAll(async () => {
      await cluster?.[Symbol.asyncDispose]();
      if (folder !== undefined) await rm(folder, { recursive: true, force: true });
    });
    const ROOT = "var/run/secrets/istio/root-cert.pem";
    const TOKEN = "var/run/secrets/tokens/istio-token";
    const server = () => ["-a", cluster.discoveryAddress, "--root-cert", ROOT, "--token", TOKEN];
    const xds = (...words: readonly string[]) => run(runtime, ["xds", ...words], { cwd: folder });

    test.each([[[]], [["--delta"]]])(
      "get has clusters, and the endpoints and routes that are referred to %s",
      async (form) => {
        const cluster80 = `outbound|80||ledger.${cluster.namespace}.svc.cluster.local`;
        const { code, stdout, stderr } = await xds(
          "get",
          "cds",
          "eds",
          "rds",
          "nds",
          "-o",
          "json",
          ...form,
          ...server(),
        );
        expect([code, stderr]).toEqual([
          0,
          expect.stringMatching(/EDS: no names given, asked for the \d+ that CDS refers to/),
        ]);
        const answers = JSON.parse(stdout) as readonly { readonly resources: readonly Record<string, unknown>[] }[];
        const [clusters, endpoints, routes, names] = answers.map(({ resources }) => JSON.stringify(resources));
        expect(clusters).toContain(`"${cluster80}"`);
        expect(endpoints).toContain(`"clusterName":"${cluster80}"`);
        expect(routes).toContain('"name":"80"');
        expect(names).toContain(`"ledger.${cluster.namespace}.svc.cluster.local"`);
      },
    );

    test("what istiod does not answer is named, with a reason", async () => {
      const words = ["--name", "kubernetes://none", "--timeout", "2s"];
      const { code, stderr } = await xds("get", "sds", ...words, ...server());
      expect([code, stderr]).toEqual([
        expect.any(Number),
        expect.stringMatching(/SDS: there is no|No answer of .* for SDS/),
      ]);
      const stranger = await xds(
        "get",
        "cds",
        "-a",
        cluster.discoveryAddress,
        "--root-cert",
        ROOT,
        "-n",
        "none",
        "--token",
        TOKEN,
      );
      expect([stranger.code, stranger.stderr]).toEqual([
        1,
        expect.stringMatching(/PERMISSION_DENIED.*\[REQUEST_FAILED\]/),
      ]);
    });

    test("istioctl reads proxy-status and internal-debug of the development control plane", async () => {
      await mkdir(join(folder, "mesh"));
      await writeFile(join(folder, "mesh/mesh.yaml"), "clusters: [{ name: web, type: STATIC }]");
      const ports = ["--port", "0", "--plaintext-port", "0"];
      await using plane = start(runtime, ["control-plane", "--dir", "mesh", ...ports], { cwd: folder });
      const [, address = ""] = await plane.waitFor(/plaintext +(\S+)/);
      const node = {
        id: "sidecar~10.0.0.1~web.shop~shop.svc.cluster.local",
        metadata: { PROXY_CONFIG: {}, ISTIO_VERSION: "1.29.0" },
      };
      await writeFile(
        join(folder, "request.yaml"),
        JSON.stringify({ node, typeUrl: "type.googleapis.com/envoy.config.cluster.v3.Cluster" }),
      );
      const words = ["xds", "watch", "-f", "request.yaml", "-a", address, "--plaintext"];
      await using watch = start(runtime, words, { cwd: folder });
      await watch.waitFor(/1 added/);
      const ask = async (...command: readonly string[]) => {
        const where = ["--plaintext", "--xds-address", address, "--timeout", "20s", "--kubeconfig", cluster.kubeconfig];
        return (await promisify(execFile)(istioctl, [...command, ...where], { timeout: 30_000 })).stdout;
      };
      await expect
        .poll(() => ask("proxy-status", "-v", "1"), { timeout: 30_000 })
        .toMatch(/^web\.shop .*SYNCED.*pilotboat/m);
      expect(JSON.parse(await ask("x", "internal-debug", "syncz"))).toContainEqual(
        expect.objectContaining({ proxy: "web.shop" }),
      );
    });

    test("a real Envoy becomes ready from a recording, without the cluster", async () => {
      expect((await xds("record", "mesh.jsonl", ...server())).code).toBe(0);
      const sidecar = join(folder, "sidecar");
      await mkdir(sidecar);
      const [port = 0, admin = 0, status = 0, health = 0, prometheus = 0] = await freePorts(5);
      const who = ["-n", cluster.namespace, "--service-account", "client"];
      const words = ["--replay", "mesh.jsonl", "--port", String(port), "--write-credentials", "sidecar", ...who];
      await using replay = start(runtime, ["control-plane", ...words], { cwd: folder });
      await replay.waitFor(/credentials {4}/);
      const proxyConfig = {
        ...{ discoveryAddress: `localhost:${port}`, proxyAdminPort: admin, statusPort: status },
        ...{ terminationDrainDuration: "0s", binaryPath: await realEnvoy() },
      };
      await using proxy = start(runtime, ["proxy", "sidecar"], {
        cwd: sidecar,
        env: {
          PROXY_CONFIG: JSON.stringify(proxyConfig),
          ...{
            POD_NAME: "client",
            POD_NAMESPACE: cluster.namespace,
            SERVICE_ACCOUNT: "client",
            INSTANCE_IP: "127.0.0.1",
          },
          ...{ ENVOY_STATUS_PORT: String(health), ENVOY_PROMETHEUS_PORT: String(prometheus) },
          PILOTBOAT_STOCK_ENVOY: "adapt",
        },
      });
      const ready = () =>
        fetch(`http://127.0.0.1:${status}/healthz/ready`).then(
          ({ status: code }) => code,
          () => 0,
        );
      await expect.poll(ready, { timeout: 30_000 }).toBe(200);
      const dump = await (await fetch(`http://127.0.0.1:${admin}/config_dump?include_eds`)).text();
      expect(dump).toContain(`outbound|80||ledger.${cluster.namespace}.svc.cluster.local`);
      const { code, stdout } = await run(runtime, ["xds", "get", "cds", "--run-folder", sidecar]);
      expect([code, stdout]).toEqual([0, expect.stringContaining("ledger")]);
      proxy.kill("SIGTERM");
      await proxy.ended;
    });
  },
);
