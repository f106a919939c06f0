import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { startExampleService } from "../../examples/quickstart/service.ts";
import { createLogger } from "../../src/base/index.ts";
import { CLUSTER_TYPE } from "../../src/control-plane/ads/resource-types.ts";
import { type RunningCommand, start } from "../support/pilotboat.ts";
import { freePorts } from "../support/ports.ts";
import { realEnvoy } from "../support/real-envoy.ts";
import { type Rig, startRig } from "./rig.ts";

const WORKLOAD = { namespace: "default", serviceAccount: "web" };

describe.each(["DELTA_GRPC", "GRPC"])("a real Envoy that speaks ADS with us, %s", (apiType) => {
  test("takes every type, follows changes, refuses what is broken, and comes back", async () => {
    const [listenerPort = 0, adminPort = 0] = await freePorts(2);
    await using service = await startExampleService();
    const values = { LISTENER_PORT: String(listenerPort), APP_PORT: String(service.port) };
    const lines: string[] = [];
    const log = createLogger({ write: (line) => void lines.push(line) });
    const connections = (): number => lines.filter((line) => line.includes("Connected")).length;
    await using rig = await startRig({ "mesh.yaml": mesh("first") }, { values, log });
    await using envoy = await startEnvoy(rig, apiType, adminPort);
    const get = async (path: string): Promise<string> => {
      const response = await fetch(`http://127.0.0.1:${listenerPort}${path}`).catch(() => undefined);
      return `${response?.status ?? "no answer"} ${response?.headers.get("x-mesh") ?? ""}`;
    };
    const admin = async (path: string) => (await fetch(`http://127.0.0.1:${adminPort}${path}`)).text();

    await expect.poll(() => get("/"), { message: envoy.stderr() }).toBe("200 first");
    expect(await admin("/ready")).toBe("LIVE\n");
    expect(await get("/nowhere")).toBe("503 first"); // its endpoints are answered with none, not with silence

    rig.write("mesh.yaml", mesh("second", "7s"));
    await expect.poll(() => get("/")).toBe("200 second");
    await expect
      .poll(() => admin("/config_dump?resource=dynamic_active_clusters"))
      .toContain('"connect_timeout": "7s"');
    expect(await admin("/stats?filter=^cluster_manager.warming_clusters")).toContain("warming_clusters: 0");
    expect(rig.controlPlane.rejections()).toEqual([]);

    rig.controlPlane.faults.sendBroken(CLUSTER_TYPE);
    await expect.poll(() => rig.controlPlane.rejections()).toMatchObject([{ nodeId: NODE_ID, typeUrl: CLUSTER_TYPE }]);
    expect(await get("/")).toBe("200 second");

    expect(connections()).toBe(1);
    rig.controlPlane.closeStreams();
    await expect.poll(connections).toBe(2); // not by `connected`: the way back may be quicker than a look
    await expect.poll(() => rig.controlPlane.connected()).toEqual([NODE_ID]);
    rig.write("mesh.yaml", mesh("third"));
    await expect.poll(() => get("/")).toBe("200 third");
  });
});

const NODE_ID = "sidecar~127.0.0.1~web.default~default.svc.cluster.local";

/** Clusters and endpoints, a listener and its routes, each by ADS. */
const mesh = (word: string, timeout = "1s"): string => `
clusters:
  - &eds
    name: app
    type: EDS
    connect_timeout: ${timeout}
    eds_cluster_config: { eds_config: &ads { ads: {}, resource_api_version: V3 } }
  - { <<: *eds, name: nowhere }
endpoints:
  - cluster_name: app
    endpoints:
      - lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: \${APP_PORT} } } } }]
listeners:
  - name: in
    address: { socket_address: { address: 127.0.0.1, port_value: \${LISTENER_PORT} } }
    filter_chains:
      - filters:
          - name: http
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
              stat_prefix: in
              rds: { route_config_name: all, config_source: *ads }
              http_filters:
                - name: router
                  typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
routes:
  - name: all
    response_headers_to_add: [{ header: { key: x-mesh, value: ${word} } }]
    virtual_hosts:
      - name: all
        domains: ["*"]
        routes:
          - { match: { prefix: /nowhere }, route: { cluster: nowhere } }
          - { match: { prefix: / }, route: { cluster: app } }
`;

async function startEnvoy(rig: Rig, apiType: string, adminPort: number): Promise<RunningCommand> {
  const token = await rig.controlPlane.mintToken(WORKLOAD);
  const config = join(rig.folder, "envoy.json");
  writeFileSync(config, JSON.stringify(bootstrap(rig, apiType, token.revealText(), adminPort)));
  const envoy = { name: "Envoy", command: [await realEnvoy()] };
  return start(envoy, ["-c", config, "--log-level", "warning", "--use-dynamic-base-id"]);
}

function bootstrap({ controlPlane }: Rig, apiType: string, token: string, adminPort: number): object {
  const type = (name: string, rest: object): object => ({ "@type": `type.googleapis.com/${name}`, ...rest });
  const address = (port: number) => ({ socket_address: { address: "127.0.0.1", port_value: port } });
  const http = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
  const ads = { ads: {}, resource_api_version: "V3" };
  const metadata = [{ key: "authorization", value: `Bearer ${token}` }];
  return {
    node: { id: NODE_ID, cluster: "web", metadata: { NAMESPACE: "default", SERVICE_ACCOUNT: "web" } },
    admin: { address: address(adminPort) },
    dynamic_resources: {
      ads_config: {
        api_type: apiType,
        transport_api_version: "V3",
        set_node_on_first_message_only: true,
        grpc_services: [{ envoy_grpc: { cluster_name: "xds-grpc" }, initial_metadata: metadata }],
      },
      cds_config: ads,
      lds_config: ads,
    },
    static_resources: {
      clusters: [
        {
          name: "xds-grpc",
          connect_timeout: "1s",
          typed_extension_protocol_options: {
            [http]: type(http, { explicit_http_config: { http2_protocol_options: {} } }),
          },
          transport_socket: {
            name: "tls",
            typed_config: type("envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", {
              sni: "istiod.istio-system.svc",
              common_tls_context: {
                validation_context: {
                  trusted_ca: { inline_string: controlPlane.rootPem },
                  match_typed_subject_alt_names: [{ san_type: "DNS", matcher: { exact: "istiod.istio-system.svc" } }],
                },
              },
            }),
          },
          load_assignment: {
            cluster_name: "xds-grpc",
            endpoints: [{ lb_endpoints: [{ endpoint: { address: address(controlPlane.port) } }] }],
          },
        },
      ],
    },
  };
}
