import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { AgentReport } from "../../src/agent/index.ts";
import { healthServer, listen, startApp } from "../probes/rig.ts";
import { runtimes } from "../support/pilotboat.ts";
import { isAlive } from "../support/processes.ts";
import { createSandbox, type Sandbox } from "../support/sandbox.ts";

// test/health has the details, test/cluster/health.test.ts the way to a real istiod; here each kind of question is seen on both runtimes.

/** An agent without Envoy, and what it knows of the workload. */
async function startProbing(sandbox: Sandbox, readinessProbe: object) {
  const env = { DISABLE_ENVOY: "true", INSTANCE_IP: "127.0.0.1" };
  const agent = await sandbox.startProxy({ env, proxyConfig: { readinessProbe } });
  const health = async () => {
    const answer = await fetch(`http://127.0.0.1:${sandbox.ports.status}/debug/agent`);
    return ((await answer.json()) as AgentReport).health;
  };
  const untilState = async (state: string) => {
    await expect.poll(async () => (await health().catch(() => undefined))?.state, { timeout: 20_000 }).toBe(state);
    return health();
  };
  return { agent, health, untilState };
}

describe.each(runtimes())("the workload's health on $name", (runtime) => {
  test("HTTPS, with a certificate that nobody knows", async () => {
    let status = 204;
    const sources: (string | undefined)[] = [];
    const app = await startApp(({ socket }, response) => {
      sources.push(socket.remoteAddress);
      response.writeHead(status).end();
    }, "https");
    await using sandbox = await createSandbox(runtime);
    await using _controlPlane = await sandbox.startControlPlane();
    const probe = { httpGet: { port: app.port, scheme: "HTTPS", path: "/ok" }, periodSeconds: 1 };
    const probing = await startProbing(sandbox, probe);
    await using _agent = probing.agent;
    expect(await probing.untilState("healthy")).not.toHaveProperty("lastError");
    expect(sources[0]).toBe("127.0.0.6");
    status = 503;
    expect((await probing.untilState("unhealthy"))?.lastError?.text).toMatch(/bad code 503$/);
  });

  test("gRPC", async () => {
    let state = 2;
    const port = await listen(healthServer(() => state));
    await using sandbox = await createSandbox(runtime);
    await using _controlPlane = await sandbox.startControlPlane();
    const probing = await startProbing(sandbox, { grpc: { port, service: "shop" }, periodSeconds: 1 });
    await using _agent = probing.agent;
    expect(await probing.untilState("unhealthy")).toMatchObject({
      probe: `gRPC health of "shop" at 127.0.0.1:${port}`,
      lastError: { text: "service status NOT_SERVING" },
    });
    state = 1;
    await probing.untilState("healthy");
  });

  test.each(["SIGTERM", "SIGKILL"] as const)(
    "a command is killed at its timeout, and with the agent by %s",
    async (signal) => {
      await using sandbox = await createSandbox(runtime);
      await using _controlPlane = await sandbox.startControlPlane();
      const place = join(sandbox.folder, "pids");
      // each question leaves the number of its process
      const command = ["sh", "-c", `mkdir -p ${place} && touch ${place}/$$ && exec sleep 1000`];
      const pids = async () => (await readdir(place).catch(() => [])).map(Number);
      const probing = await startProbing(sandbox, { exec: { command }, timeoutSeconds: 2, periodSeconds: 1 });
      await using agent = probing.agent;
      expect((await probing.untilState("unhealthy"))?.lastError?.text).toBe("command timeout exceeded: signal: killed");
      const [first = 0] = await pids();
      expect(isAlive(first)).toBe(false);
      await expect.poll(async () => (await pids()).filter(isAlive)).toHaveLength(1);
      agent.kill(signal);
      await agent.ended;
      await expect.poll(async () => (await pids()).filter(isAlive)).toEqual([]);
    },
  );
});
