import { expect, test } from "vitest";
import { lastGoodOwner, type OwnerConfig } from "../../src/agent/parts/last-good-owner.ts";

const config: OwnerConfig = {
  metadataEnv: [
    ["ISTIO_META_A", "1"],
    ["ISTIO_META_B", "2"],
  ],
  xdsHeaders: [["x-tenant", "t1"]],
  proxy: { discoveryAddress: "istiod:15012", proxyMetadata: {} },
  settings: { clusterId: "Kubernetes" },
};
const metadata = { LABELS: { app: "a", version: "v1" }, NETWORK: "n1", INSTANCE_IPS: "10.0.0.1" };
const owner = (change: Partial<OwnerConfig> = {}, more: Record<string, unknown> = {}) =>
  JSON.stringify(
    lastGoodOwner({ ...config, ...change }, { id: "a node", metadata: { ...metadata, ...more } as never }),
  );

test.each([
  ["a label", owner({}, { LABELS: { app: "a", version: "v2" } })],
  ["the network", owner({}, { NETWORK: "n2" })],
  ["a variable of the node's metadata", owner({ metadataEnv: [["ISTIO_META_A", "2"]] })],
  ["a header", owner({ xdsHeaders: [["x-tenant", "t2"]] })],
  ["proxyMetadata", owner({ proxy: { ...config.proxy, proxyMetadata: { ISTIO_META_DNS_CAPTURE: "true" } } })],
  ["the control plane", owner({ proxy: { ...config.proxy, discoveryAddress: "other:15012" } })],
  ["the cluster", owner({ settings: { clusterId: "other" } })],
])("%s makes the last-good configuration another one", (_, other) => {
  expect(other).not.toBe(owner());
});

test("the same is the same in whatever order, and with what changes at each start", () => {
  const reordered = { metadataEnv: [...config.metadataEnv].reverse() };
  expect(owner(reordered, { LABELS: { version: "v1", app: "a" }, INSTANCE_IPS: "10.0.0.2" })).toBe(owner());
  expect(owner()).not.toContain("t1");
});
