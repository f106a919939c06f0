import { connect, type Socket } from "node:net";
import { describe, expect, test } from "vitest";
import { type RunningCommand, runtimes } from "../support/pilotboat.ts";
import { createSandbox, type SandboxPorts } from "../support/sandbox.ts";

const TEST_LIMIT_MS = 60_000;
const ZERO = { EXIT_ON_ZERO_ACTIVE_CONNECTIONS: "true", MINIMUM_DRAIN_DURATION: "0s" };
const STILL_OPEN = /info\t(?:\w+\t)?Connections are still open/g;

/** A connection that Envoy has accepted and that stays open. It says nothing: a request would leave a pooled one behind it. */
async function open({ outbound, admin }: SandboxPorts): Promise<Socket> {
  const socket = connect(outbound, "127.0.0.1").on("error", () => undefined); // Envoy ends it with itself
  const stats = `http://127.0.0.1:${admin}/stats?filter=^listener.*_${outbound}.downstream_cx_active$`;
  await expect.poll(async () => (await fetch(stats)).text()).toMatch(/: 1\n/);
  return socket;
}

const countOf = (agent: RunningCommand): number => agent.stdout().match(STILL_OPEN)?.length ?? 0;

describe.each(runtimes())("a drain that waits for connections, on $name", (runtime) => {
  test(
    "reality 15: where nobody set terminationDrainDuration, a connection that stays open outlives its default of 5 s",
    async () => {
      await using sandbox = await createSandbox(runtime);
      await using _controlPlane = await sandbox.startControlPlane();
      const proxyConfig = { terminationDrainDuration: undefined }; // left out of the JSON
      await using agent = await sandbox.startProxy({ proxyConfig, env: ZERO });
      await agent.waitFor(/Start: .*ready/);
      const held = await open(sandbox.ports);
      agent.kill("SIGTERM");
      await expect.poll(() => countOf(agent), { timeout: TEST_LIMIT_MS }).toBeGreaterThan(6); // one per second
      held.destroy();
      expect((await agent.ended).code).toBe(0);
      expect(agent.stdout()).toContain("All connections are closed");
    },
    TEST_LIMIT_MS,
  );

  test(
    "reality 15: what somebody set bounds it, and what is open then is told",
    async () => {
      await using sandbox = await createSandbox(runtime);
      await using _controlPlane = await sandbox.startControlPlane();
      await using agent = await sandbox.startProxy({ proxyConfig: { terminationDrainDuration: "2s" }, env: ZERO });
      await agent.waitFor(/Start: .*ready/);
      const held = await open(sandbox.ports);
      agent.kill("SIGTERM");
      expect((await agent.ended).code).toBe(0);
      expect(agent.stdout()).toContain("Connections are still open when the drain ends");
      expect(countOf(agent)).toBeLessThanOrEqual(3);
      held.destroy();
    },
    TEST_LIMIT_MS,
  );
});
