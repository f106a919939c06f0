import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { JsonObject } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { createMetrics, silentLogger } from "../../src/base/index.ts";
import { openLastGood } from "../../src/last-good/index.ts";
import { loadEnvoyTypes } from "../../src/proto/envoy-types.ts";
import type {
  DeltaDiscoveryRequest,
  DiscoveryRequest,
} from "../../src/proto/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { type FakeIstiodStream, startFakeIstiod } from "../support/fake-istiod.ts";
import { freePorts } from "../support/ports.ts";
import { realEnvoy } from "../support/real-envoy.ts";
import { startRig } from "../xds/relay-rig.ts";

// What one resource says of another one is asked for by its name, or by its type: what of that a real Envoy needs when it
// starts with nothing but the log. Istio sends extensions this way (ECDS), and neither scopes, runtime nor virtual hosts.

const NODE = "sidecar~10.0.0.1~a.b~b.svc.cluster.local";
const ADS = { ads: {}, resource_api_version: "V3" };
const HTTP = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const MUTATION = "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation";
const ROUTER = { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" };
const virtualHost = {
  name: "all",
  domains: ["*"],
  routes: [{ match: { prefix: "/" }, direct_response: { status: 200 } }],
};

function listener(name: string, port: number, manager: JsonObject): JsonObject {
  const filter = { name: "http", typed_config: { "@type": HTTP, stat_prefix: name, ...manager } };
  return {
    name,
    address: { socket_address: { address: "127.0.0.1", port_value: port } },
    filter_chains: [{ filters: [filter] }],
  };
}

function resources(scoped: number, inline: number): Record<string, Record<string, JsonObject>> {
  const router = { name: "router", typed_config: ROUTER };
  const extension = { name: "extension", config_discovery: { config_source: ADS, type_urls: [MUTATION] } };
  const scopes = {
    name: "scopes",
    scope_key_builder: { fragments: [{ header_value_extractor: { name: "x-scope", index: 0 } }] },
    rds_config_source: ADS,
    scoped_rds: { scoped_rds_config_source: ADS },
  };
  return {
    "envoy.service.runtime.v3.Runtime": { runtime: { name: "runtime", layer: { "from.runtime": "kept" } } },
    "envoy.config.cluster.v3.Cluster": {
      service: { name: "service", type: "EDS", eds_cluster_config: { eds_config: ADS }, connect_timeout: "1s" },
    },
    "envoy.config.endpoint.v3.ClusterLoadAssignment": { service: { cluster_name: "service" } },
    "envoy.config.listener.v3.Listener": {
      scoped: listener("scoped", scoped, { scoped_routes: scopes, http_filters: [extension, router] }),
      inline: listener("inline", inline, {
        route_config: { name: "inline", virtual_hosts: [virtualHost], vhds: { config_source: ADS } },
        http_filters: [router],
      }),
    },
    "envoy.config.route.v3.ScopedRouteConfiguration": {
      "scope-a": { name: "scope-a", route_configuration_name: "a", key: { fragments: [{ string_key: "a" }] } },
    },
    "envoy.config.route.v3.RouteConfiguration": { a: { name: "a", virtual_hosts: [virtualHost] } },
    "envoy.config.core.v3.TypedExtensionConfig": {
      extension: {
        name: "extension",
        typed_config: {
          "@type": MUTATION,
          mutations: { response_mutations: [{ append: { header: { key: "x-extension", value: "kept" } } }] },
        },
      },
    },
  };
}

/** Answers the first request of each type, and each that asks for other names. */
function answering(all: ReturnType<typeof resources>): (stream: FakeIstiodStream) => void {
  const types = loadEnvoyTypes();
  return (stream) => {
    let answered = 0;
    const asked = new Map<string, string>();
    const answer = (request: DiscoveryRequest | DeltaDiscoveryRequest): void => {
      const { typeUrl } = request;
      const names = "resourceNames" in request ? request.resourceNames : request.resourceNamesSubscribe;
      const isDelta = !("resourceNames" in request);
      if (asked.has(typeUrl) && (names.length === 0 || (!isDelta && asked.get(typeUrl) === names.join()))) return;
      asked.set(typeUrl, names.join());
      const typeName = typeUrl.slice(typeUrl.indexOf("/") + 1);
      const found = Object.entries(all[typeName] ?? {}).filter(([name]) => names.length === 0 || names.includes(name));
      const packed = found.map(([name, json]) => ({ name, value: types.encode(typeName, json) }));
      if (packed.length === 0) return;
      const nonce = `${typeName} ${answered}`;
      if (isDelta)
        stream.sendDelta({
          typeUrl,
          nonce,
          resources: packed.map(({ name, value }) => ({ name, resource: { typeUrl, value } })),
        });
      else
        stream.send({ typeUrl, nonce, versionInfo: "1", resources: packed.map(({ value }) => ({ typeUrl, value })) });
    };
    const looking = setInterval(() => {
      if (stream.isClosed) clearInterval(looking);
      for (const request of stream.requests.slice(answered)) {
        answered++;
        answer(request);
      }
    }, 5);
  };
}

test.each(["GRPC", "DELTA_GRPC"])(
  "%s: scopes, routes of scopes, extensions, runtime and endpoints come back, and so does an inline route with VHDS",
  async (api_type) => {
    const folder = await mkdtemp(join(tmpdir(), "pb-references-"));
    const [istiodPort = 0, scoped = 0, inline = 0, admin = 0] = await freePorts(4);
    await using lastGood = openLastGood({
      ...{ folder: join(folder, "kept"), owner: { nodeId: NODE, others: [] }, mostBytes: 2 ** 24, log: silentLogger },
      metrics: createMetrics(""),
    });
    await using rig = await startRig(istiodPort, { lastGood });
    const bootstrap = join(folder, "envoy.json");
    await writeFile(bootstrap, JSON.stringify(bootstrapFor(rig.socketPath, admin, api_type)));
    const ask = async (port: number, path = "/", headers: Record<string, string> = {}) => {
      const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
        headers: { connection: "close", ...headers },
      }).catch(() => undefined);
      return { status: answer?.status, extension: answer?.headers.get("x-extension"), text: await answer?.text() };
    };
    const expectServing = async (): Promise<void> => {
      await expect
        .poll(() => ask(scoped, "/", { "x-scope": "a" }), { timeout: 20_000 })
        .toMatchObject({ status: 200, extension: "kept" });
      await expect.poll(() => ask(inline)).toMatchObject({ status: 200 });
      expect((await ask(admin, "/runtime")).text).toContain("from.runtime");
    };
    const args = ["-c", bootstrap, "--disable-hot-restart", "--use-dynamic-base-id", "-l", "warning"];
    try {
      {
        await using istiod = await startFakeIstiod({
          port: istiodPort,
          onStream: answering(resources(scoped, inline)),
        });
        await using _envoy = await startEnvoy(args);
        await expectServing();
        const acknowledged = () =>
          new Set(istiod.streams[0]?.requests.filter((one) => one.responseNonce !== "").map((one) => one.typeUrl)).size;
        await expect.poll(acknowledged).toBe(7);
      }
      await using _envoy = await startEnvoy(args);
      await expectServing();
      expect(rig.relay.stale()).toBeDefined();
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
  60_000,
);

async function startEnvoy(args: readonly string[]): Promise<AsyncDisposable> {
  const envoy = spawn(await realEnvoy(), args, {
    stdio: "ignore",
  });
  const ended = new Promise((resolve) => envoy.once("close", resolve));
  return {
    async [Symbol.asyncDispose]() {
      envoy.kill("SIGKILL");
      await ended;
    },
  };
}

function bootstrapFor(socketPath: string, admin: number, api_type: string): JsonObject {
  const service = { envoy_grpc: { cluster_name: "xds" } };
  const endpoint = { endpoint: { address: { pipe: { path: socketPath } } } };
  const options = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
  return {
    node: { id: NODE, cluster: "test" },
    admin: { address: { socket_address: { address: "127.0.0.1", port_value: admin } } },
    layered_runtime: { layers: [{ name: "runtime", rtds_layer: { name: "runtime", rtds_config: ADS } }] },
    dynamic_resources: {
      ads_config: { api_type, transport_api_version: "V3", grpc_services: [service] },
      cds_config: ADS,
      lds_config: ADS,
    },
    static_resources: {
      clusters: [
        {
          name: "xds",
          type: "STATIC",
          connect_timeout: "1s",
          typed_extension_protocol_options: {
            [options.slice(options.indexOf("/") + 1)]: {
              "@type": options,
              explicit_http_config: { http2_protocol_options: {} },
            },
          },
          load_assignment: { cluster_name: "xds", endpoints: [{ lb_endpoints: [endpoint] }] },
        },
      ],
    },
  };
}
