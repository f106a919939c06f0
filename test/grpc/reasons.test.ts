import { expect, test } from "vitest";
import { isUnreachable, isUntrusted, ToldReasons } from "../../src/grpc/index.ts";

test("a reason is news once, again after another one, and again after a success", () => {
  const told = new ToldReasons();
  const news = ["down", "down", "refused", "down"].map((reason) => told.isNews("xds", reason));
  expect(news).toEqual([true, false, true, true]);
  told.forget("xds");
  expect(told.isNews("xds", "down")).toBe(true);
});

test("what one part has told is no news of another, until that one is well", () => {
  const told = new ToldReasons();
  expect([told.isNews("xds", "down"), told.isNews("ca", "down"), told.isNews("ca", "down")]).toEqual([
    true,
    false,
    false,
  ]);
  expect(told.isNews("ca", "expired")).toBe(true);
});

test("reality 26: where one part is well again, the same reason is news of every other part", () => {
  const told = new ToldReasons();
  told.isNews("ca", "down"); // and is not tried again for a while
  told.isNews("ca of others", "expired");
  told.isNews("xds", "down");
  told.forget("xds");
  expect(told.isNews("xds", "down")).toBe(true);
  expect(told.isNews("xds", "expired")).toBe(false);
});

test.each([
  ["connect ECONNREFUSED 127.0.0.1:15012", true],
  ["getaddrinfo ENOTFOUND istiod.istio-system.svc", true],
  ["no connection within 8s: the address does not answer", true],
  ["Name resolution failed for target dns:istiod:15012", true],
  ["self-signed certificate in certificate chain", false],
  ["authentication failure", false],
])("%s: no process answers there: %s", (reason, expected) => {
  expect(isUnreachable(reason)).toBe(expected);
});

test.each([
  ["unable to verify the first certificate", true],
  ["certificate has expired", true],
  ["certificate is not yet valid", true],
  ["Hostname/IP does not match certificate's altnames: IP: 127.0.0.1 is not in the cert's list", true],
  ["connect ECONNREFUSED 127.0.0.1:15012", false],
  ["authentication failure", false],
])("%s: the other end's certificate is refused: %s", (reason, expected) => {
  expect(isUntrusted(reason)).toBe(expected);
});
