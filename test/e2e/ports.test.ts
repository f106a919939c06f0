import { cp } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { chooseFreePorts } from "../../src/agent/free-ports.ts";
import { loadConfig } from "../../src/config/index.ts";
import { runtimes } from "../support/pilotboat.ts";
import { createSandbox } from "../support/sandbox.ts";

const TEST_LIMIT_MS = 60_000;

/** Undefined where somebody else has it already, which serves as well. */
function take(port: number): Promise<Server | undefined> {
  return new Promise((done) => {
    const server = createServer();
    server.once("error", () => done(undefined));
    server.listen(port, () => done(server));
  });
}

describe.runIf(process.platform === "linux").each(runtimes())("ports that are taken, on $name", (runtime) => {
  test("reality 27: all of them are told at once, with who has them and what to do", async () => {
    await using sandbox = await createSandbox(runtime);
    const { status, admin, envoyStatus, prometheus } = sandbox.ports;
    const servers = await Promise.all([status, admin, envoyStatus, prometheus].map(take));
    await using agent = await sandbox.startProxy();
    expect((await agent.ended).code).toBe(1);
    for (const server of servers) server?.close();
    for (const port of [status, admin, envoyStatus, prometheus]) {
      expect(agent.stderr()).toMatch(new RegExp(`:${port}": in use by \\S+ \\(pid ${process.pid}\\), for `));
    }
    expect(agent.stderr()).toMatch(
      /hint: .*--free-ports, or set ENVOY_STATUS_PORT and .*statusPort and proxyAdminPort/,
    );
  });

  test(
    "reality 27: a port that another agent's Envoy listens on as well is warned of",
    async () => {
      await using first = await createSandbox(runtime);
      await using second = await createSandbox(runtime);
      await using _controlPlane = await first.startControlPlane();
      await using agent = await first.startProxy();
      await agent.waitFor(/Start: .*ready/);
      await cp(join(first.folder, "var/run/secrets"), join(second.folder, "var/run/secrets"), {
        recursive: true,
        filter: (path) => !path.includes("workload-spiffe-uds"),
      });
      const discoveryAddress = `localhost:${first.ports.controlPlane}`;
      await using other = await second.startProxy({ proxyConfig: { discoveryAddress } });
      const warning = new RegExp(`warn\tEnvoy shares port ${first.ports.outbound} with envoy \\(pid \\d+\\)`);
      await other.waitFor(warning);
      expect(agent.stdout()).not.toMatch(/shares port/);
    },
    TEST_LIMIT_MS,
  );
});

test("reality 27: --free-ports replaces what is taken, not what somebody has set", async () => {
  const server = await take(15_020);
  const configOf = async (...args: readonly string[]) => (await loadConfig({ args, env: {}, cwd: "/nowhere" })).config;
  const config = await configOf("--free-ports");
  const chosen = (await chooseFreePorts(config))(config);
  expect(chosen.proxy.statusPort).not.toBe(15_020);

  const set = (
    await loadConfig({ args: ["--free-ports"], env: { PROXY_CONFIG: "statusPort: 15020" }, cwd: "/nowhere" })
  ).config;
  expect((await chooseFreePorts(set))(set).proxy.statusPort).toBe(15_020);
  const without = await configOf();
  expect((await chooseFreePorts(without))(without).proxy.statusPort).toBe(15_020);
  server?.close();
});
