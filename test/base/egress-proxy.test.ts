import { expect, test } from "vitest";
import { grpcTarget, isProxied, Secret } from "../../src/base/index.ts";

test.each<[string, string, boolean]>([
  ["istiod.istio-system.svc:15012", "", true],
  ["istiod.istio-system.svc:15012", "*", false],
  ["istiod.istio-system.svc:15012", "a.b, istio-system.svc", false],
  ["istiod.istio-system.svc:15012", ".SVC", false],
  ["istiod.istio-system.svc:15012", "*.svc", false],
  ["svc:15012", ".svc", true],
  ["svc:15012", "svc", false],
  ["xsvc:15012", "svc", true],
  ["a.b:15012", "a.b:15012", false],
  ["a.b:15012", "a.b:443", true],
  ["10.1.2.3:15012", "10.0.0.0/8", false],
  ["11.1.2.3:15012", "10.0.0.0/8", true],
  ["10.1.2.3:15012", "10.1.2.3", false],
  ["10.1.2.3:15012", "10.1.2.3:443", true],
  ["10.1.2.3:15012", "10.0.0.0/33, 10.0.0.0/x, nonsense/8, :1, ,", true],
  ["[2001:db8::1]:15012", "2001:db8::/32", false],
  ["[2001:db8::1]:15012", "[2001:db8::1]:15012", false],
  ["[2001:db8::1]:15012", "10.0.0.0/8", true],
  ["localhost:15012", "", false],
  ["127.1.2.3:15012", "", false],
  ["[::1]:15012", "", false],
])("%s with NO_PROXY=%j goes through the proxy: %s", (address, except, expected) => {
  expect(isProxied(address, except.split(","))).toBe(expected);
});

test("a proxied target is the proxy, told where to and by whom", () => {
  const proxy = { address: "p:3128", credentials: new Secret("me:pw"), except: [] };
  expect(grpcTarget("a:1", proxy)).toEqual({
    target: "dns:p:3128",
    options: {
      "grpc.enable_http_proxy": 0,
      "grpc.http_connect_target": "dns:a:1",
      "grpc.http_connect_creds": "me:pw",
    },
  });
  const direct = { target: "dns:a:1", options: { "grpc.enable_http_proxy": 0 } };
  expect(grpcTarget("a:1", undefined)).toEqual(direct);
  expect(grpcTarget("a:1", { ...proxy, except: ["a"] })).toEqual(direct);
});
