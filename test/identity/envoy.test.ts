import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { connect } from "node:tls";
import { expect, test } from "vitest";
import { bindUnix } from "../../src/base/index.ts";
import { serveSds } from "../../src/identity/index.ts";
import { PATHS } from "../../src/istio/index.ts";
import { startFakeCa } from "../support/fake-ca.ts";
import { createMovableClock } from "../support/movable-clock.ts";
import { freePorts } from "../support/ports.ts";
import { realEnvoy } from "../support/real-envoy.ts";
import { createWorld } from "./world.ts";

const HOUR_MS = 3_600_000;

test("a real Envoy serves the certificate that it got from us, and the next one after a rotation", async () => {
  const binary = await realEnvoy();
  await using ca = await startFakeCa();
  ca.behaviour = { kind: "sign", lifeMs: 100 * HOUR_MS };
  await using world = await createWorld();
  await world.write(PATHS.controlPlaneRoot, ca.tlsRootPem);
  await world.write(PATHS.token, "a.token");
  const clock = createMovableClock(undefined, 2);
  await using socket = await bindUnix(join(world.cwd, "sds"));
  const [port = 0] = await freePorts(1);
  const config = await world.write("envoy.json", JSON.stringify(bootstrap(socket.address, port)));
  await using _envoy = startEnvoy(binary, config);
  const secrets = await world.secrets(`localhost:${ca.port}`, { clock, tokens: world.tokens({ clock }) });
  await using _sds = await serveSds({ socket, secrets, log: world.log, metrics: world.metrics });

  await expect.poll(() => servedSerial(port), { timeout: 30_000 }).toMatch(/^[0-9A-F]+$/);
  const first = await servedSerial(port);
  await clock.advance(51 * HOUR_MS);
  await expect.poll(() => servedSerial(port), { timeout: 30_000 }).not.toBe(first);
  expect(await servedSerial(port)).toBe(secrets.status().certificate?.serialNumber);
  expect(world.metrics.render()).not.toContain("pilot_total_xds_rejects");
});

function startEnvoy(binary: string, config: string): AsyncDisposable {
  const child: ChildProcess = spawn(binary, ["-c", config, "--log-level", "error", "--use-dynamic-base-id"], {
    stdio: "ignore",
  });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  return {
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

/** Serial number of the certificate that a new connection is shown; undefined while there is no listener. */
function servedSerial(port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1", rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().serialNumber);
      socket.destroy();
    });
    socket.on("error", () => resolve(undefined));
  });
}

function bootstrap(sdsPath: string, port: number): object {
  const source = {
    api_config_source: {
      api_type: "GRPC",
      transport_api_version: "V3",
      grpc_services: [{ envoy_grpc: { cluster_name: "sds-grpc" } }],
    },
    resource_api_version: "V3",
    initial_fetch_timeout: "0s",
  };
  const type = (name: string, rest: object): object => ({ "@type": `type.googleapis.com/${name}`, ...rest });
  const tls = type("envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext", {
    common_tls_context: {
      tls_certificate_sds_secret_configs: [{ name: "default", sds_config: source }],
      validation_context_sds_secret_config: { name: "ROOTCA", sds_config: source },
    },
  });
  const proxy = type("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", {
    stat_prefix: "t",
    cluster: "sds-grpc",
  });
  return {
    node: { id: "sidecar~127.0.0.1~a.b~c", cluster: "c" },
    static_resources: {
      clusters: [
        {
          name: "sds-grpc",
          connect_timeout: "1s",
          typed_extension_protocol_options: {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": type(
              "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
              { explicit_http_config: { http2_protocol_options: {} } },
            ),
          },
          load_assignment: {
            cluster_name: "sds-grpc",
            endpoints: [{ lb_endpoints: [{ endpoint: { address: { pipe: { path: sdsPath } } } }] }],
          },
        },
      ],
      listeners: [
        {
          address: { socket_address: { address: "127.0.0.1", port_value: port } },
          filter_chains: [
            {
              filters: [{ name: "tcp", typed_config: proxy }],
              transport_socket: { name: "tls", typed_config: tls },
            },
          ],
        },
      ],
    },
  };
}
