import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { findDockerRegistry, startDockerRegistry } from "../support/docker-registry.ts";
import { envoyScript } from "../support/fake-pip.ts";
import { makeLayer, pushImage, pushIndex } from "../support/make-image.ts";
import { run, runtimes } from "../support/pilotboat.ts";
import { createTestCa } from "../support/test-ca.ts";
import { startTokenService } from "../support/token-service.ts";

const hasRegistry = (await findDockerRegistry()) !== undefined;
const ENVOY = envoyScript("1.37.2-dev");

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "pb-istio-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A registry with TLS and token authentication that has Istio 1.31.0 for two platforms. */
async function hub() {
  const ca = await createTestCa();
  const tls = await ca.issue({ ips: ["127.0.0.1"] });
  const open = await startDockerRegistry();
  const base = await makeLayer([{ name: "etc/passwd", content: "root" }]);
  const images = [];
  for (const architecture of ["amd64", "arm64"]) {
    const top = await makeLayer([{ name: "usr/local/bin/envoy", content: `${ENVOY}# ${architecture}\n` }]);
    const platform = { os: "linux", architecture };
    images.push(await pushImage(open.address, "istio/proxyv2", undefined, { layers: [base, top], platform }));
  }
  const digest = await pushIndex(open.address, "istio/proxyv2", "1.31.0", images);
  const tokens = await startTokenService({ tls });
  const server = await startDockerRegistry({ tls, token: tokens.words }, open.storage);
  return {
    ca,
    digest,
    tokens,
    open,
    address: server.address,
    server,
    async [Symbol.asyncDispose]() {
      for (const one of [server, tokens, open]) await one[Symbol.asyncDispose]();
    },
  };
}

describe.runIf(hasRegistry).each(runtimes())("Istio's Envoy on $name", (runtime) => {
  test("reality 13: it comes out of the image of a registry with TLS and tokens, and stays in the cache", async () => {
    await using registry = await hub();
    const folder = await temporaryFolder();
    await writeFile(join(folder, "root.pem"), registry.ca.certPem);
    const options = { cwd: folder, env: { XDG_CACHE_HOME: join(folder, "cache"), HOME: folder } };
    const words = [
      "envoy",
      "fetch",
      "--istio",
      "1.31.0",
      "--hub",
      `${registry.address}/istio`,
      "--ca-file",
      "root.pem",
    ];
    const { code, stdout, stderr } = await run(runtime, words, options);
    expect(stderr).toContain(`${registry.address}/istio/proxyv2:1.31.0@${registry.digest}`);
    expect(code).toBe(0);
    expect(await readFile(stdout.trim(), "utf8")).toContain(ENVOY);
    expect(await readdir(join(folder, "cache/pilotboat/envoy/downloads"))).toEqual([]);
    await registry.server[Symbol.asyncDispose]();
    expect(await run(runtime, words, options)).toEqual({ code: 0, stdout, stderr: "" });
    const which = await run(runtime, ["envoy", "which", "--version", "istio-1.31.0", "-o", "json"], options);
    expect(JSON.parse(which.stdout)).toMatchObject({
      path: stdout.trim(),
      istioVersion: "1.31.0",
      version: "1.37.2-dev",
    });
  });
});
