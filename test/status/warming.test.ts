import { expect, test } from "vitest";
import { readInitDump, Warming } from "../../src/status/warming.ts";

// As Envoy 1.38 answers of a gateway whose secret istiod does not send.
const DUMP = JSON.stringify({
  unready_targets_dumps: [
    { name: "init manager Listener-local-init-manager 0.0.0.0_15090 16642681398003776361" },
    {
      name: "init manager Listener-local-init-manager 0.0.0.0_443 3579144235951002860",
      target_names: ["shared target SdsApi kubernetes://cert", "target RdsRouteConfigSubscription init http.443"],
    },
    { name: "init manager Server", target_names: ["target SdsApi default"] },
  ],
});

test("what Envoy waits for is named with who waits, and since when", () => {
  const warming = new Warming();
  expect(warming.describe(readInitDump(DUMP), 1_000)?.text).toContain(
    'listener "0.0.0.0_443" waits for secret "kubernetes://cert" (0s)',
  );
  const text = warming.describe(readInitDump(DUMP), 13_000)?.text;
  expect(text).toContain('listener "0.0.0.0_443" waits for secret "kubernetes://cert" (12s)');
  expect(text).toContain("waits for RdsRouteConfigSubscription init http.443 (12s)");
  expect(text).toContain('Server waits for secret "default" (12s)');
  expect(text).toContain("istiod does not send a secret that is not there");
  expect(text).not.toContain("15090"); // it waits for nothing
});

test("what came meanwhile is forgotten, and many are counted", () => {
  const warming = new Warming();
  expect(warming.describe([], 0)).toBeUndefined();
  const many = Array.from({ length: 7 }, (_, at) => ({ who: `cluster ${at}`, what: "endpoints" }));
  expect(warming.describe(many, 0)?.text).toMatch(/^cluster 0 waits for endpoints \(0s\), .*cluster 4 .* and 2 more$/);
  expect(warming.describe(many.slice(6), 5_000)?.text).toBe("cluster 6 waits for endpoints (5s)");
  expect(warming.describe([], 6_000)).toBeUndefined();
  expect(warming.describe(many.slice(6), 9_000)?.text).toBe("cluster 6 waits for endpoints (0s)");
});

test("an answer without targets is empty, and one that is none throws", () => {
  expect(readInitDump("{}")).toEqual([]);
  expect(() => readInitDump("404 not found")).toThrow();
});
