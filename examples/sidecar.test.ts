// A real Envoy inside a test of yours.
import { startSidecar } from "pilotboat";
import { expect, test } from "vitest";

test("a request through the mesh carries the caller's identity", { timeout: 120_000 }, async () => {
  // a first start fetches Envoy, hence the time
  await using sidecar = await startSidecar({ namespace: "shop", serviceAccount: "web" });
  const response = await fetch(`${sidecar.url}/orders`);
  expect(response.status).toBe(200);
  expect(response.headers.get("x-peer-uri-san")).toBe("spiffe://cluster.local/ns/shop/sa/web");
});
