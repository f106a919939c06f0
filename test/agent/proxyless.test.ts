import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { startAgent } from "../../src/agent/index.ts";
import { createLogger, silentLogger } from "../../src/base/index.ts";
import { loadConfig } from "../../src/config/index.ts";
import { startControlPlane, writeCredentials } from "../../src/control-plane/index.ts";
import type { Host } from "../../src/host/index.ts";
import { freePorts } from "../support/ports.ts";

const never = new AbortController().signal;
const host: Host = {
  env: { PATH: process.env.PATH, HOME: process.env.HOME },
  cwd: process.cwd(),
  stdout: process.stdout,
  stderr: process.stderr,
  signals: { stop: never, hurry: never, force: never },
};

test("without Envoy there is no SDS server; certificates go to OUTPUT_CERTS, and xDS is there for gRPC", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pb-proxyless-"));
  const resources = join(folder, "xds");
  await Promise.all([mkdir(resources), mkdir(join(folder, "certs"))]);
  const lines: string[] = [];
  await using controlPlane = await startControlPlane({ resources, log: silentLogger }, never);
  await writeCredentials(controlPlane, folder, { namespace: "default", serviceAccount: "web" });
  const [statusPort] = await freePorts(1);
  const { config } = await loadConfig({
    args: ["--run-folder", folder],
    cwd: host.cwd,
    env: {
      DISABLE_ENVOY: "true",
      OUTPUT_CERTS: "certs",
      POD_NAMESPACE: "default",
      SERVICE_ACCOUNT: "web",
      INSTANCE_IP: "127.0.0.1",
      PROXY_CONFIG: JSON.stringify({ discoveryAddress: `localhost:${controlPlane.port}`, statusPort }),
    },
  });
  const log = createLogger({ write: (line) => void lines.push(line) });
  {
    await using agent = await startAgent(config, { host, log });
    const certificates = ["cert-chain.pem", "key.pem", "root-cert.pem"]; // without temporary names
    await expect.poll(async () => (await readdir(join(folder, "certs"))).sort()).toEqual(certificates);
    expect(await readFile(join(folder, "certs/cert-chain.pem"), "utf8")).toContain("BEGIN CERTIFICATE");
    await agent.ready;
    expect(await readdir(join(folder, "etc/istio/proxy"))).toContain("XDS");
    expect(await readdir(join(folder, "var/run/secrets"))).not.toContain("workload-spiffe-uds");
  }
  expect(lines.join("")).not.toMatch(/SDS [Ss]erver/);
  await rm(folder, { recursive: true });
});
