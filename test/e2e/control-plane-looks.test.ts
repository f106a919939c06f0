import { execFile, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findGrpcurl } from "../support/grpcurl.ts";
import { type RunningCommand, run, runtimes, start } from "../support/pilotboat.ts";

const MESH = `
clusters: [{ name: web, type: STATIC }]
listeners:
  - name: out
    address: { socket_address: { address: 127.0.0.1, port_value: 2 } }
    filter_chains:
      - filters:
          - name: tcp
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
              stat_prefix: out
              cluster: web
secrets: [{ name: pair, tls_certificate: { private_key: { inline_string: PRIVATE } } }]
names: { web.shop.svc.cluster.local: { ips: [10.0.0.1], registry: Kubernetes, shortname: web, namespace: shop } }
`;
const PREFIX = "type.googleapis.com/";
const ADS = "envoy.service.discovery.v3.AggregatedDiscoveryService";
const LISTENER = `${PREFIX}envoy.config.listener.v3.Listener`;
const CLUSTER = `${PREFIX}envoy.config.cluster.v3.Cluster`;

const grpcurl = await findGrpcurl();

describe.each(runtimes())("looking into a control plane on $name", { timeout: 60_000 }, (runtime) => {
  let folder: string;
  let plane: RunningCommand;
  let plaintext: string;
  let debug: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "pb-looks-"));
    await writeFile(join(folder, "mesh.yaml"), MESH);
    const ports = ["--port", "0", "--plaintext-port", "0", "--debug-port", "0"];
    plane = start(runtime, ["control-plane", "--dir", folder, ...ports]);
    plaintext = (await plane.waitFor(/plaintext +(\S+)/))[1] ?? "";
    debug = (await plane.waitFor(/debug +(\S+)\/list/))[1] ?? "";
  }, 60_000);
  afterAll(async () => {
    await plane?.[Symbol.asyncDispose]();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });
  const xds = (...words: readonly string[]) => ["xds", ...words, "-a", plaintext, "--plaintext", "-n", "shop"];

  describe.runIf(grpcurl !== undefined)("grpcurl without a proto file", () => {
    const ask = (...words: readonly string[]) =>
      promisify(execFile)(grpcurl ?? "", ["-plaintext", "-max-time", "20", ...words]).then(({ stdout }) => stdout);

    test("lists and describes services, messages and their fields", async () => {
      expect((await ask(plaintext, "list")).trim().split("\n")).toEqual([
        ADS,
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
      ]);
      expect(await ask(plaintext, "describe", ADS)).toContain("rpc StreamAggregatedResources ( stream ");
      expect(await ask(plaintext, "describe")).toContain("grpc.reflection.v1alpha.ServerReflection is a service");
      expect(await ask(plaintext, "describe", "envoy.config.cluster.v3.Cluster.lb_policy")).toContain("lb_policy = 6");
      await expect(ask(plaintext, "describe", "acme.v1.None")).rejects.toThrow(/not found/i);
    });

    test("streams resources, with every Any resolved", async () => {
      const node = { id: "sidecar~10.0.0.1~a.shop~shop.svc.cluster.local", metadata: { NAMESPACE: "shop" } };
      const stream = spawn(grpcurl ?? "", ["-plaintext", "-d", "@", plaintext, `${ADS}/StreamAggregatedResources`]);
      let text = "";
      stream.stdout.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
      });
      stream.stdin.write(JSON.stringify({ node, typeUrl: LISTENER }));
      const complete = () => text.includes('"nonce"') && text.trimEnd().endsWith("}");
      await expect.poll(complete, { timeout: 20_000 }).toBe(true);
      stream.stdin.end();
      await new Promise((resolve) => stream.once("close", resolve));
      const tcp = { "@type": `${PREFIX}envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy`, cluster: "web" };
      expect(JSON.parse(text)).toMatchObject({
        resources: [{ name: "out", filterChains: [{ filters: [{ typedConfig: tcp }] }] }],
      });
    });
  });

  test("the port without TLS serves everything but secrets", async () => {
    const clusters = await run(runtime, xds("get", "cds", "nds", "-o", "json"));
    expect(JSON.parse(clusters.stdout)).toMatchObject([{ resources: [{ name: "web" }] }, { resources: [{}] }]);
    const secrets = await run(runtime, xds("get", "sds", "--name", "pair"));
    expect([secrets.stdout, secrets.stderr]).toEqual(["", expect.stringContaining('there is no "pair"')]);
  });

  test("the debug endpoints tell of a proxy in istiod's form", async () => {
    await using watch = start(runtime, xds("watch", "cds", "lds"));
    await watch.waitFor(/LDS .*1 added/);
    const get = async (path: string) => (await (await fetch(`${debug}/${path}`)).json()) as Record<string, unknown>;
    const id = expect.stringMatching(/^pilotboat-xds\.shop-\d+$/);
    const client = {
      connectionId: id,
      connectedAt: expect.any(String),
      address: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
    };
    await expect.poll(() => get("connections")).toEqual({ totalClients: 1, clients: [client] });
    const metadata = { NAMESPACE: "shop", CLUSTER_ID: "Kubernetes" };
    const watches = { [CLUSTER]: [], [LISTENER]: [] };
    expect(await get("adsz")).toEqual({ totalClients: 1, clients: [{ ...client, metadata, locality: {}, watches }] });
    const acked = async () => {
      const [one] = (await get("syncz")) as unknown as readonly Record<string, string>[];
      return one?.listener_acked !== undefined && one.listener_acked === one.listener_sent ? one : undefined;
    };
    await expect.poll(acked).toMatchObject({
      ...{ cluster_id: "Kubernetes", proxy: "pilotboat-xds.shop", proxy_type: "sidecar" },
      resources: { [LISTENER]: { sent: expect.any(String), acked: expect.any(String), sentTime: expect.any(String) } },
    });
    const dump = (await get("config_dump?proxyID=pilotboat-xds.shop")) as { configs: Record<string, unknown>[] };
    expect(dump.configs.map((one) => String(one["@type"]).replace(/.*\.v3\./, ""))).toEqual([
      "BootstrapConfigDump",
      "ClustersConfigDump",
      "ListenersConfigDump",
      "ScopedRoutesConfigDump",
      "RoutesConfigDump",
      "SecretsConfigDump",
      "EcdsConfigDump",
    ]);
    expect(dump.configs[2]).toMatchObject({
      dynamicListeners: [{ name: "out", activeState: { listener: { name: "out" } } }],
    });
    expect(await get("config_dump?proxyID=pilotboat&types=CDS")).toMatchObject({
      configs: [{ "@type": CLUSTER, name: "web" }],
    });
    expect(await get("registryz")).toMatchObject([
      { hostname: "web.shop.svc.cluster.local", defaultAddress: "10.0.0.1" },
    ]);
    const overAds = await run(runtime, xds("get", "istio.io/debug", "--name", "connections", "-o", "json"));
    expect(overAds.stderr).toBe(""); // it has no name, so nothing is missing
    expect(JSON.parse(overAds.stdout)[0].resources[0].value).toMatchObject({ clients: [{ connectionId: id }, {}] });
    watch.kill("SIGINT");
    expect([await watch.ended, watch.stderr()]).toEqual([{ code: 0, signal: null }, ""]);
    await expect.poll(() => get("connections")).toEqual({ totalClients: 0 });
  });

  test("the debug port cuts off who does not finish a request within 10 s", async () => {
    const socket = connect(Number(new URL(debug).port), "127.0.0.1");
    const closed = new Promise<"closed">((resolve) => socket.once("close", () => resolve("closed")));
    socket.on("error", () => undefined).write("GET /debug/list HTTP/1.1\r\nHost: loc");
    expect(await closed).toBe("closed");
  });

  test("the debug endpoints refuse what istiod refuses, and whoever is not of this machine", async () => {
    const status = async (path: string) => {
      const answer = await fetch(`${debug}/${path}`);
      return [answer.status, (await answer.text()).trim()];
    };
    expect(await status("config_dump")).toEqual([400, "You must provide a proxyID in the query string"]);
    expect(await status("ndsz?proxyID=none")).toEqual([
      404,
      expect.stringMatching(/^Proxy not connected to this Pilot/),
    ]);
    expect(await status("nope")).toEqual([404, expect.stringContaining("adsz")]);
    expect(await statusAs(debug, { Host: "evil.example" })).toBe(403);
    expect(await statusAs(debug, { Origin: "http://evil.example" })).toBe(403);
  });
});

function statusAs(url: string, headers: Readonly<Record<string, string>>): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    request(`${url}/list`, { headers }, (answer) => resolve(answer.resume().statusCode))
      .once("error", reject)
      .end();
  });
}
