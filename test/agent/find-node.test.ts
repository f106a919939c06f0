import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { findNode } from "../../src/agent/start-envoy/find-node.ts";
import { loadConfig } from "../../src/config/index.ts";
import { PATHS } from "../../src/istio/index.ts";
import { createWorld } from "../identity/world.ts";

test("credentials of another program are told to the control plane, and the log names them", async () => {
  await using world = await createWorld();
  const env = { POD_NAMESPACE: "a", SERVICE_ACCOUNT: "b", INSTANCE_IP: "127.0.0.1", CLOUD_PLATFORM: "none" };
  const { config } = await loadConfig({ args: [], env, cwd: world.cwd });
  const find = () =>
    findNode(config, { hasExternalSds: false, envoy: Promise.resolve(undefined) }, world.log, world.stop.signal);
  expect((await find()).metadata).not.toHaveProperty("credential");
  expect(world.lines.join("")).not.toContain("Credential SDS socket found");
  await using _live = await startGrpc(join(world.cwd, PATHS.credentialSocket));
  expect((await find()).metadata).toHaveProperty("credential", "true");
  expect(world.lines.join("")).toContain("info\tCredential SDS socket found");
});

async function startGrpc(path: string): Promise<AsyncDisposable> {
  await mkdir(dirname(path), { recursive: true });
  const server = new Server();
  await new Promise((resolve) => server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), resolve));
  return { [Symbol.asyncDispose]: async () => server.forceShutdown() };
}
