import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { isAbsolute, join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { GRPC_JS, startGrpcPeer } from "../support/grpc-peer.ts";
import { runtimes } from "../support/pilotboat.ts";
import { freePorts } from "../support/ports.ts";
import { createSandbox, type Sandbox } from "../support/sandbox.ts";

const NAME = "URI:spiffe://cluster.local/ns/default/sa/quickstart";

/** The agent's bootstrap, read as it is, with certificate files that are looked at each second. */
async function impatient({ folder }: Sandbox): Promise<string> {
  const document = JSON.parse(await readFile(join(folder, "etc/istio/proxy/grpc-bootstrap.json"), "utf8"));
  document.certificate_providers.default.config.refresh_interval = "1s"; // 900 s in the agent's, as in Istio's
  const path = join(folder, "impatient.json");
  await writeFile(path, JSON.stringify(document));
  return path;
}

/** The status of `/healthz/ready`, 0 while nobody listens. */
function readyOf({ ports }: Sandbox): Promise<number> {
  return fetch(`http://127.0.0.1:${ports.status}/healthz/ready`).then(
    (answer) => answer.status,
    () => 0,
  );
}

describe.each(runtimes())("proxyless gRPC on $name", (runtime) => {
  test("reality 38: a server and two clients with targets of their own live on one agent, over mutual TLS that is rotated", {
    timeout: 120_000,
  }, async () => {
    const [orders = 0, payments = 0] = await freePorts(2);
    await using sandbox = await createSandbox(runtime);
    const resources = join(sandbox.folder, "mesh");
    await Promise.all([
      mkdir(join(sandbox.folder, "certs")),
      cp("test/fixtures/grpc-peers/xds", resources, { recursive: true }),
    ]);
    const mesh = join(resources, "mesh.yaml");
    const swap = async (from: string, to: string): Promise<void> =>
      writeFile(mesh, (await readFile(mesh, "utf8")).replace(`cluster: "\${${from}}"`, `cluster: ${to}`));
    await using _plane = await sandbox.startControlPlane({
      resources,
      values: { ORDERS: "orders", PAYMENTS: "payments", ORDERS_PORT: String(orders), PAYMENTS_PORT: String(payments) },
    });
    await using agent = await sandbox.startProxy({
      env: {
        DISABLE_ENVOY: "true",
        ISTIO_META_GENERATOR: "grpc",
        OUTPUT_CERTS: "certs",
        SECRET_TTL: "20s",
        SECRET_GRACE_PERIOD_RATIO: "0.75",
        ECC_SIGNATURE_ALGORITHM: "ECDSA",
      },
    });
    await expect.poll(() => readyOf(sandbox)).toBe(200);

    const bootstrap = await impatient(sandbox);
    await using server = startGrpcPeer(GRPC_JS, ["server", String(orders), String(payments)], bootstrap);
    expect([await server.next(), await server.next()]).toEqual([{ serving: orders }, { serving: payments }]);
    await using first = startGrpcPeer(GRPC_JS, ["client", "xds:///orders.mesh:7070"], bootstrap);
    await using second = startGrpcPeer(GRPC_JS, ["client", "xds:///payments.mesh:7070"], bootstrap);
    const before = await first.call();
    expect(before).toMatchObject({ port: orders, client: { name: NAME }, server: { name: NAME } });
    expect(await second.call()).toMatchObject({ port: payments, client: { name: NAME }, server: { name: NAME } });

    // all three streams are still there: each client hears of its own change, the server's listeners serve on
    await swap("ORDERS", "payments");
    await expect.poll(async () => (await first.call()).port).toBe(payments);
    await swap("PAYMENTS", "orders");
    await expect.poll(async () => (await second.call()).port).toBe(orders);

    // both sides take up the files that the agent has replaced meanwhile
    const isRotated = async (): Promise<boolean> => {
      const { client, server: shown } = await first.call();
      return client?.serial !== before.client?.serial && shown?.serial !== before.server?.serial;
    };
    await expect.poll(isRotated, { interval: 500 }).toBe(true);
    expect(await second.call()).toMatchObject({ port: orders, client: { name: NAME }, server: { name: NAME } });
    expect(agent.stdout()).not.toContain("overlapping");
    agent.kill("SIGTERM");
    expect((await agent.ended).code).toBe(0);
  });

  test("reality 38: beside an Envoy a gRPC application has its own stream, and Envoy keeps its own", async () => {
    await using sandbox = await createSandbox(runtime);
    await mkdir(join(sandbox.folder, "certs"));
    await using _plane = await sandbox.startControlPlane();
    const args = ["--log_output_level=xdsproxy:debug"];
    await using agent = await sandbox.startProxy({ args, env: { OUTPUT_CERTS: "certs" } });
    await agent.waitFor(/connected to delta upstream XDS server/);
    await expect.poll(() => readyOf(sandbox)).toBe(200);
    await using client = startGrpcPeer(GRPC_JS, ["client", "xds:///no.such.target:1"], await impatient(sandbox));
    void client.call().catch(() => undefined); // there is no such target: the stream counts
    await agent.waitFor(/stream of a gRPC client.*userAgent=gRPC Node Pure JS/);
    await agent.waitFor(/connected to upstream XDS server/);
    expect(await readyOf(sandbox)).toBe(200);
    expect(agent.stdout()).not.toMatch(/overlapping|stream ended/);
    agent.kill("SIGTERM");
    await agent.ended;
  });

  test.each([
    ["relative", "somewhere/proxy"],
    ["absolute", undefined],
  ])("reality 39: with a configPath that is %s every path in the gRPC bootstrap is absolute", async (_kind, given) => {
    await using sandbox = await createSandbox(runtime);
    const configPath = given ?? join(sandbox.folder, "elsewhere");
    await mkdir(join(sandbox.folder, "certs"));
    await using _plane = await sandbox.startControlPlane();
    await using agent = await sandbox.startProxy({
      proxyConfig: { configPath },
      env: { DISABLE_ENVOY: "true", OUTPUT_CERTS: "./certs", GRPC_XDS_BOOTSTRAP: "grpc.json" },
    });
    await agent.waitFor(/Opening status port|Ports: /);
    const read = () =>
      readFile(join(sandbox.folder, "grpc.json"), "utf8").then(
        (text) => JSON.parse(text),
        () => undefined,
      );
    await expect.poll(read).toBeDefined();
    const document = await read();
    const socket = String(document.xds_servers[0].server_uri).replace("unix://", "");
    expect(resolve(socket)).toBe(resolve(sandbox.folder, configPath, "XDS"));
    const { refresh_interval: _, ...files } = document.certificate_providers.default.config;
    for (const path of Object.values<string>(files)) {
      expect(isAbsolute(path)).toBe(true);
      expect(path.startsWith(join(sandbox.folder, "certs/"))).toBe(true);
    }
    agent.kill("SIGTERM");
    await agent.ended;
  });
});
