import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { findDockerRegistry, startDockerRegistry } from "../support/docker-registry.ts";
import { makeLayer, pushImage } from "../support/make-image.ts";
import { run, runtimes } from "../support/pilotboat.ts";
import { freePorts } from "../support/ports.ts";
import { realEnvoy } from "../support/real-envoy.ts";
import { headerModule } from "../support/wasm-module.ts";
import { ask } from "./ask.ts";
import { startMeshProxy } from "./mesh-proxy.ts";
import { hasCluster, startCluster } from "./start-cluster.ts";

const hasRegistry = (await findDockerRegistry()) !== undefined;
const BCRYPT_OF_SECRET = "$2b$04$V/mcsFs3.IKSSijEGNAiHeAjrbqN1EpWqQHPBvQ0aAnB0Y4E0SXAm";

describe.runIf(hasCluster()).each(runtimes())("a WasmPlugin with a remote module, on $name", (runtime) => {
  test("lets everything pass with FAIL_OPEN and refuses everything with FAIL_CLOSE, and both are said", {
    timeout: 180_000,
  }, async () => {
    await using cluster = await startCluster();
    const { namespace } = cluster;
    const folder = await mkdtemp(join(tmpdir(), "pb-wasm-"));
    const [port = 0] = await freePorts(1);
    for (const object of answeringGateway(namespace, port)) await cluster.apply(object);
    const spec = { url: "oci://127.0.0.1:1/plugin:v1" };
    await cluster.apply(plugin({ ...spec, failStrategy: "FAIL_CLOSE" }));
    const labels = { gateway: namespace };
    const proxyConfig = { drainDuration: "1s" }; // so long a filter lives on that its listener is without
    const options = { proxyConfig, folder, account: "default", pod: "gateway", labels, role: "router" } as const;
    await using gateway = await startMeshProxy(runtime, cluster, options);
    await expect.poll(() => gateway.readyStatus()).toBe(200);

    const status = async () => (await ask(port, { host: "a.example.com" })).status;
    await expect.poll(status).toBe(403);
    await gateway.command.waitFor(/applying deny RBAC filter.*uri=oci:\/\/127\.0\.0\.1:1\/plugin:v1/);
    const name = `${namespace}.plugin`;
    const denied = `${name}.*"; all traffic through the filter is refused \\(HTTP 403\\), as its policy FAIL_CLOSE says`;
    expect(await gateway.readyText()).toMatch(new RegExp(denied));

    await cluster.apply(plugin({ ...spec, failStrategy: "FAIL_OPEN" }));
    await expect.poll(status).toBe(200);
    await gateway.command.waitFor(/applying allow RBAC filter.*traffic passes without the module/);
    const { stdout } = await run(runtime, ["status", folder, "--config-path", "proxy"]);
    expect(stdout).toMatch(new RegExp(`^no Wasm +.*${name}.*traffic passes without the module`, "m"));

    await cluster.api.delete(`/apis/extensions.istio.io/v1alpha1/namespaces/${namespace}/wasmplugins/plugin`);
    await expect.poll(() => gateway.readyText()).not.toContain(name);
    expect(await status()).toBe(200);
    expect(await gateway.rejectedUpdates()).toBe(0);
    gateway.command.kill("SIGTERM");
    await gateway.command.ended;
    await rm(folder, { recursive: true, force: true });
  });

  test.runIf(hasRegistry)(
    "runs the module of a private registry, also when the registry is gone and the agent another",
    {
      timeout: 180_000,
    },
    async () => {
      await using cluster = await startCluster();
      const { namespace } = cluster;
      const folder = await mkdtemp(join(tmpdir(), "pb-wasm-"));
      await using open = await startDockerRegistry();
      const layer = await makeLayer([{ name: "plugin.wasm", content: headerModule("x-wasm", "from the cluster") }]);
      await pushImage(open.address, "plugin", "v1", { layers: [layer] });
      const registry = await startDockerRegistry({ htpasswd: `me:${BCRYPT_OF_SECRET}` }, open.storage);
      const [port = 0] = await freePorts(1);
      for (const object of answeringGateway(namespace, port)) await cluster.apply(object);
      const auths = { [registry.address]: { auth: Buffer.from("me:secret").toString("base64") } };
      await cluster.apply({
        apiVersion: "v1",
        kind: "Secret",
        metadata: { name: "pull" },
        type: "kubernetes.io/dockerconfigjson",
        stringData: { ".dockerconfigjson": JSON.stringify({ auths }) },
      });
      const spec = { url: `oci://${registry.address}/plugin:v1`, imagePullSecret: "pull" };
      await cluster.apply(plugin({ ...spec, imagePullSecret: "missing" }));
      const proxyConfig = { binaryPath: await realEnvoy("1.40.0") };
      const labels = { gateway: namespace };
      const options = { proxyConfig, folder, account: "default", pod: "gateway", labels, role: "router" } as const;
      await using gateway = await startMeshProxy(runtime, cluster, options);
      const look = async () => {
        const { status, headers } = await fetch(`http://127.0.0.1:${port}/`, { headers: { connection: "close" } });
        return `${status} ${headers.get("x-wasm") ?? "-"}`;
      };
      await expect.poll(() => look().catch(String)).toBe("403 -");
      await gateway.command.waitFor(/missing image pulling secret/);
      await cluster.apply(plugin(spec));
      await expect.poll(() => look().catch(String)).toBe("200 from the cluster");
      expect(await gateway.rejectedUpdates()).toBe(0);

      await registry[Symbol.asyncDispose]();
      gateway.command.kill("SIGTERM");
      await gateway.command.ended;
      await using next = await startMeshProxy(runtime, cluster, { ...options, hasCredentials: true });
      await expect.poll(() => look().catch(String)).toBe("200 from the cluster");
      const name = expect.stringContaining(`${namespace}.plugin`);
      expect((await next.report()).wasm).toMatchObject([{ name, state: "loaded" }]);
      next.command.kill("SIGTERM");
      await next.command.ended;
      await rm(folder, { recursive: true, force: true });
    },
  );
});

/** A gateway that answers by itself. */
function answeringGateway(namespace: string, port: number) {
  const server = { port: { number: port, name: "http", protocol: "HTTP" }, hosts: ["*"] };
  return [
    {
      apiVersion: "networking.istio.io/v1",
      kind: "Gateway",
      metadata: { name: "gateway" },
      spec: { selector: { gateway: namespace }, servers: [server] },
    },
    {
      apiVersion: "networking.istio.io/v1",
      kind: "VirtualService",
      metadata: { name: "answers" },
      spec: {
        hosts: ["*"],
        gateways: [`${namespace}/gateway`],
        http: [{ directResponse: { status: 200, body: { string: "{}" } } }],
      },
    },
  ];
}

function plugin(spec: Readonly<Record<string, unknown>>) {
  return {
    apiVersion: "extensions.istio.io/v1alpha1",
    kind: "WasmPlugin",
    metadata: { name: "plugin" },
    spec,
  };
}
