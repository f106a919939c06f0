// A real Envoy inside somebody's test. In your own project: import { startSidecar } from "pilotboat".
import { expect, test } from "vitest";
import { startSidecar } from "../src/index.ts";

test("a request through the mesh carries the caller's identity", async () => {
  await using sidecar = await startSidecar({ namespace: "shop", serviceAccount: "web" });
  const response = await fetch(`${sidecar.url}/orders`);
  expect(response.status).toBe(200);
  expect(response.headers.get("x-peer-uri-san")).toBe("spiffe://cluster.local/ns/shop/sa/web");
});
