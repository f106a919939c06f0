import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { GRPC_JS, startGrpcPeer } from "../support/grpc-peer.ts";
import { runtimes } from "../support/pilotboat.ts";
import { freePorts } from "../support/ports.ts";
import { createSandbox } from "../support/sandbox.ts";
import { CLUSTER_FILES, cachedCluster } from "./binaries.ts";

// grpc-go opens a stream for each target, also in one process. It is built with the cluster, but needs none.

const bin = cachedCluster();
const GRPC_GO = [join(bin ?? "", CLUSTER_FILES.grpcPeer)];
const NAME = "URI:spiffe://cluster.local/ns/default/sa/quickstart";

describe.runIf(bin !== undefined).each(runtimes())("grpc-go beside an agent on $name", (runtime) => {
  test.each([
    ["grpc-go", GRPC_GO],
    ["grpc-js", GRPC_JS],
  ])(
    "reality 38: two channels of one process keep their streams, to a server in %s over mutual TLS",
    {
      timeout: 120_000,
    },
    async (_name, serverProgram) => {
      const [orders = 0, payments = 0] = await freePorts(2);
      await using sandbox = await createSandbox(runtime);
      const resources = join(sandbox.folder, "mesh");
      await Promise.all([
        mkdir(join(sandbox.folder, "certs")),
        cp("test/fixtures/grpc-peers/xds", resources, { recursive: true }),
      ]);
      const mesh = join(resources, "mesh.yaml");
      await using _plane = await sandbox.startControlPlane({
        resources,
        values: {
          ORDERS: "orders",
          PAYMENTS: "payments",
          ORDERS_PORT: String(orders),
          PAYMENTS_PORT: String(payments),
        },
      });
      await using agent = await sandbox.startProxy({ env: { DISABLE_ENVOY: "true", OUTPUT_CERTS: "certs" } });
      const ready = () =>
        fetch(`http://127.0.0.1:${sandbox.ports.status}/healthz/ready`).then(
          (answer) => answer.status,
          () => 0,
        );
      await expect.poll(ready).toBe(200);
      const bootstrap = join(sandbox.folder, "etc/istio/proxy/grpc-bootstrap.json");
      await using server = startGrpcPeer(serverProgram, ["server", String(orders), String(payments)], bootstrap);
      expect([await server.next(), await server.next()]).toEqual([{ serving: orders }, { serving: payments }]);
      const targets = ["xds:///orders.mesh:7070", "xds:///payments.mesh:7070"];
      await using client = startGrpcPeer(GRPC_GO, ["client", ...targets], bootstrap);
      expect(await client.call(0)).toMatchObject({ port: orders, client: { name: NAME }, server: { name: NAME } });
      expect(await client.call(1)).toMatchObject({ port: payments, client: { name: NAME }, server: { name: NAME } });
      const text = await readFile(mesh, "utf8");
      await writeFile(
        mesh,
        text.replace('cluster: "${ORDERS}"', "cluster: payments").replace('cluster: "${PAYMENTS}"', "cluster: orders"),
      );
      await expect.poll(async () => (await client.call(0)).port).toBe(payments);
      await expect.poll(async () => (await client.call(1)).port).toBe(orders);
      expect(agent.stdout()).not.toContain("overlapping");
      agent.kill("SIGTERM");
      await agent.ended;
    },
  );
});
