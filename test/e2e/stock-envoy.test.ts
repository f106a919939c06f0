import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Runtime, run, runtimes, start } from "../support/pilotboat.ts";
import { freePorts } from "../support/ports.ts";
import { realEnvoy } from "../support/real-envoy.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-stock-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const istios = (name: string, type: string) =>
  `{ name: ${name}, typed_config: { "@type": type.googleapis.com/udpa.type.v1.TypedStruct, type_url: type.googleapis.com/${type}, value: { x: 1 } } }`;
const MX = istios("istio.metadata_exchange", "envoy.tcp.metadataexchange.config.MetadataExchange");
const PEER = istios("istio.metadata_exchange", "io.istio.http.peer_metadata.Config");
const ALPN = istios("istio.alpn", "istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig");
const STATS = istios("istio.stats", "stats.PluginConfig");
const AUTHN = istios("istio_authn", "istio.envoy.config.filter.http.authn.v2alpha1.FilterConfig");

/** Where istiod puts its filters, and where else it may: the answer comes from the second of two listeners. */
const mesh = (http: string, more = "") => `
listeners:
  - name: outbound
    address: { socket_address: { address: 127.0.0.1, port_value: \${OUTBOUND_PORT} } }
    default_filter_chain:
      filters:
        - ${MX}
        - name: envoy.filters.network.http_connection_manager
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
            stat_prefix: outbound
            route_config:
              virtual_hosts: [{ name: all, domains: ["*"], routes: [{ match: { prefix: / }, route: { cluster: inbound } }] }]
            http_filters:
${http}
              - { name: envoy.filters.http.router, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router } }
  - name: inbound
    address: { socket_address: { address: 127.0.0.1, port_value: \${INBOUND_PORT} } }
    filter_chains:
      - filters:
          - name: envoy.filters.network.http_connection_manager
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
              stat_prefix: inbound
              route_config:
                virtual_hosts: [{ name: all, domains: ["*"], routes: [{ match: { prefix: / }, direct_response: { status: 200, body: { inline_string: answered } } }] }]
              http_filters:
                - ${STATS}
                - { name: envoy.filters.http.router, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router } }
clusters:
  - name: inbound
    type: STATIC
    filters:
      - ${MX}
    load_assignment: { cluster_name: inbound, endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: \${INBOUND_PORT} } } } }] }] }
${more}`;
const item = (filter: string) => `              - ${filter}\n`;
const DEFAULTS = mesh([PEER, ALPN, STATS].map(item).join(""));

async function startMesh(runtime: Runtime, resources: string, env: Readonly<Record<string, string>> = {}) {
  const ports = await freePorts(7);
  const [outbound = 0, inbound = 0, admin = 0, status = 0, envoyStatus = 0, prometheus = 0, controlPlanePort = 0] =
    ports;
  await mkdir(join(folder, "xds"));
  await writeFile(join(folder, "xds/mesh.yaml"), resources);
  const set = ["--set", `OUTBOUND_PORT=${outbound}`, "--set", `INBOUND_PORT=${inbound}`];
  const where = ["--dir", join(folder, "xds"), "--port", String(controlPlanePort), "--write-credentials", folder];
  const controlPlane = start(runtime, ["control-plane", ...where, ...set]);
  await controlPlane.waitFor(/credentials {4}/);
  const proxyConfig = {
    discoveryAddress: `localhost:${controlPlanePort}`,
    binaryPath: await realEnvoy(),
    proxyAdminPort: admin,
    statusPort: status,
    terminationDrainDuration: "0s",
  };
  const proxy = start(runtime, ["proxy", "sidecar"], {
    cwd: folder,
    env: {
      ...{ POD_NAME: "a", POD_NAMESPACE: "default", SERVICE_ACCOUNT: "quickstart", INSTANCE_IP: "127.0.0.1" },
      ...{ ENVOY_STATUS_PORT: String(envoyStatus), ENVOY_PROMETHEUS_PORT: String(prometheus) },
      PROXY_CONFIG: JSON.stringify(proxyConfig),
      ...env,
    },
  });
  const ready = () =>
    fetch(`http://127.0.0.1:${status}/healthz/ready`).then(
      async (answer) => ({ status: answer.status, text: await answer.text() }),
      () => ({ status: 0, text: "" }),
    );
  return {
    ...{ proxy, ready, outbound, admin },
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]();
      await controlPlane[Symbol.asyncDispose]();
    },
  };
}

describe.each(runtimes())("an Envoy without Istio's filters, on $name", (runtime) => {
  test.each(["true", "false"])(
    "adapt: it is ready and answers, and what it lacks is told once (delta: %s)",
    async (delta) => {
      await using running = await startMesh(runtime, DEFAULTS, {
        PILOTBOAT_STOCK_ENVOY: "adapt",
        ISTIO_DELTA_XDS: delta,
      });
      await expect.poll(async () => (await running.ready()).status).toBe(200);
      expect(await (await fetch(`http://127.0.0.1:${running.outbound}/`)).text()).toBe("answered");
      const stats = await (await fetch(`http://127.0.0.1:${running.admin}/stats?filter=update_rejected`)).text();
      expect(stats).not.toMatch(/: [1-9]/);
      expect((await running.ready()).text.trimEnd().split("\n")).toHaveLength(4);
      expect(running.proxy.stdout().match(/it is left out/g)).toHaveLength(4);
      const { stdout } = await run(runtime, ["status", folder]);
      expect(stdout).toMatch(/^left out +istio\.stats \(stats\.PluginConfig\), .*lost: Istio's standard metrics/m);
    },
  );

  test("proxy refuses by default: readiness begins with the cause and has both remedies", async () => {
    await using running = await startMesh(runtime, DEFAULTS);
    await expect
      .poll(async () => (await running.ready()).text)
      .toMatch(/^config received from XDS server, but was rejected: .*; Envoy rejected .*"istio\.stats"/);
    const { status, text } = await running.ready();
    expect(status).toBe(503);
    expect(text).toContain("start with --stock-envoy adapt");
    expect(text).toContain("take Istio's Envoy (--envoy PATH");
    expect(text).not.toContain("is Istiod running");
  });

  test("a filter that nobody has judged is refused also with adapt", async () => {
    const env = { PILOTBOAT_STOCK_ENVOY: "adapt" };
    await using running = await startMesh(runtime, mesh(item(AUTHN) + item(STATS)), env);
    await expect
      .poll(async () => (await running.ready()).text)
      .toMatch(/^config received from XDS server, but was rejected: .*; Envoy rejected .*Listener: .*"istio_authn"/);
    expect((await running.ready()).text).not.toContain("--stock-envoy");
    expect((await running.ready()).status).toBe(503);
  });

  test("HBONE: refuse says what is missing and ends with 1, adapt starts without it", async () => {
    const hbone = { ISTIO_META_ENABLE_HBONE: "true" };
    await using refused = await startMesh(runtime, DEFAULTS, hbone);
    expect((await refused.proxy.ended).code).toBe(1);
    expect(refused.proxy.stderr()).toMatch(
      /ISTIO_META_ENABLE_HBONE.*metadata_discovery.*\[ENVOY_LACKS_EXTENSION\]\n {2}hint: /,
    );
    await refused[Symbol.asyncDispose]();
    await rm(join(folder, "xds"), { recursive: true });
    await using adapted = await startMesh(runtime, DEFAULTS, { ...hbone, PILOTBOAT_STOCK_ENVOY: "adapt" });
    await expect.poll(async () => (await adapted.ready()).status).toBe(200);
    expect(adapted.proxy.stdout()).toContain('"metadata_discovery" (istio.workload.BootstrapExtension)');
  });

  test("up adapts by default", async () => {
    await mkdir(join(folder, "xds"));
    await writeFile(join(folder, "xds/mesh.yaml"), DEFAULTS);
    await using up = start(runtime, ["up", join(folder, "xds"), "--envoy", await realEnvoy()], { cwd: folder });
    const [, listener = ""] = await up.waitFor(/^listener +(\S+)/m);
    expect(await (await fetch(listener)).text()).toBe("answered");
  });
});
