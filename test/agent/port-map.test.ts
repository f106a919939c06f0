import { expect, test } from "vitest";
import { plannedPorts } from "../../src/agent/parts/index.ts";
import { describePorts } from "../../src/agent/ports/port-map.ts";
import { loadConfig } from "../../src/config/index.ts";

async function portsOf(env: Readonly<Record<string, string>>): Promise<string> {
  return describePorts(plannedPorts((await loadConfig({ args: [], env, cwd: "/nowhere" })).config));
}

test("the ports of a sidecar are told with their uses", async () => {
  expect(await portsOf({})).toBe("15020 status, 15000 Envoy's admin, 15021 Envoy's health, 15090 Envoy's metrics");
});

test("a port is planned once it is set, and without Envoy only the agent listens", async () => {
  expect(await portsOf({ ENVOY_SECURE_METRICS_PORT: "15093" })).toContain("15093 Envoy's metrics with TLS");
  expect(await portsOf({ DISABLE_ENVOY: "true" })).toBe("15020 status");
});

test("a port with two uses is refused, and both are named", async () => {
  await expect(portsOf({ ENVOY_STATUS_PORT: "15020" })).rejects.toMatchObject({
    code: "CONFIG_INVALID",
    message: "Cannot use port 15020 twice, for status (statusPort) and for Envoy's health (ENVOY_STATUS_PORT)",
  });
});
