import { expect, test } from "vitest";
import { apiListeners, curlLines, istioListeners } from "../../src/local/cluster/gateway-listeners.ts";

const GATEWAY = {
  metadata: { name: "public", namespace: "ingress" },
  spec: {
    servers: [
      { port: { number: 80, protocol: "HTTP" }, hosts: ["*"] },
      {
        port: { number: 443, protocol: "HTTPS" },
        hosts: ["shop/*.example.com", "./other.org"],
        tls: { mode: "SIMPLE" },
      },
      { port: { number: 8443, protocol: "https" }, hosts: ["m.example.com"], tls: { mode: "MUTUAL" } },
      { port: { number: 9000, protocol: "TCP" }, hosts: ["*"] },
    ],
  },
};

const virtualService = (namespace: string, gateways: readonly string[], hosts: readonly string[]) => ({
  metadata: { name: "v", namespace },
  spec: { gateways, hosts },
});

test("hosts of an Istio Gateway are those of its servers, and for wildcards those of what is bound to it", () => {
  const listeners = istioListeners(GATEWAY, [
    virtualService("ingress", ["public"], ["a.example.com", "*.wild.org"]),
    virtualService("shop", ["ingress/public"], ["b.net"]),
    virtualService("shop", ["public"], ["of-another-public.org"]),
  ]);
  expect(listeners).toEqual([
    { port: 80, protocol: "HTTP", hosts: ["a.example.com", "b.net"], tls: "none" },
    { port: 443, protocol: "HTTPS", hosts: ["any.example.com", "other.org"], tls: "server" },
    { port: 8443, protocol: "HTTPS", hosts: ["m.example.com"], tls: "mutual" },
    { port: 9000, protocol: "TCP", hosts: ["a.example.com", "b.net"], tls: "none" },
  ]);
});

test("hosts of a Gateway of the Gateway API", () => {
  const gateway = {
    metadata: { name: "gw", namespace: "shop" },
    spec: {
      listeners: [
        { port: 80, protocol: "HTTP" },
        { port: 443, protocol: "HTTPS", hostname: "*.example.com", tls: { mode: "Terminate" } },
      ],
    },
  };
  const route = (parentRefs: readonly object[], hostnames: readonly string[]) => ({
    metadata: { name: "r", namespace: "shop" },
    spec: { parentRefs, hostnames },
  });
  const routes = [route([{ name: "gw" }], ["web.org"]), route([{ name: "gw", namespace: "elsewhere" }], ["no.org"])];
  expect(apiListeners(gateway, routes)).toEqual([
    { port: 80, protocol: "HTTP", hosts: ["web.org"], tls: "none" },
    { port: 443, protocol: "HTTPS", hosts: ["any.example.com"], tls: "server" },
  ]);
});

const HERE = { host: "127.0.0.1", port: 8080 };

test("a host is quoted for the shell, an address of version 6 is in brackets, and what is no name is left out", () => {
  const at = { port: 80, protocol: "HTTP", tls: "none" } as const;
  expect(curlLines({ ...at, hosts: ["a.org;$(id)"] }, HERE)).toEqual([
    "curl -i --connect-to 'a.org;$(id):80:127.0.0.1:8080' 'http://a.org;$(id)/'",
  ]);
  expect(curlLines({ ...at, hosts: ["it's"] }, HERE)).toEqual([
    "curl -i --connect-to 'it'\\''s:80:127.0.0.1:8080' 'http://it'\\''s/'",
  ]);
  expect(curlLines({ ...at, hosts: ["a.org"] }, { host: "::1", port: 80 })).toEqual([
    "curl -i --connect-to 'a.org:80:[::1]:80' http://a.org/",
  ]);
  const servers = [{ port: { number: 80 }, hosts: ["a.org", "a\nb", "a b", "\u001b[2J"] }];
  expect(istioListeners({ ...GATEWAY, spec: { servers } }, [])[0]?.hosts).toEqual(["a.org"]);
});

test("a VirtualService counts where server and export allow its namespace", () => {
  const servers = [
    { port: { number: 1 }, hosts: ["*/*.org"] },
    { port: { number: 2 }, hosts: ["./*.org"] },
    { port: { number: 3 }, hosts: ["shop/*.org", "shop/named.org"] },
  ];
  const exported = (namespace: string, host: string, exportTo: readonly string[]) => ({
    metadata: { name: host, namespace },
    spec: { gateways: ["ingress/public"], hosts: [host], exportTo },
  });
  const found = istioListeners(
    { ...GATEWAY, spec: { servers } },
    [
      virtualService("ingress", ["public"], ["own.org"]),
      virtualService("shop", ["ingress/public"], ["shop.org"]),
      exported("shop", "hidden.org", ["."]),
      exported("shop", "pods.org", ["edge"]),
    ],
    "edge",
  );
  expect(found.map(({ hosts }) => hosts)).toEqual([
    ["own.org", "shop.org", "pods.org"],
    ["own.org"],
    ["shop.org", "pods.org", "named.org"],
  ]);
});

test("a route counts where the listener allows its namespace, it means the listener, and it was not refused", () => {
  const from = (name: string) => ({ allowedRoutes: { namespaces: { from: name } } });
  const gateway = {
    metadata: { name: "gw", namespace: "edge" },
    spec: {
      listeners: [
        { name: "same", port: 80 },
        { name: "all", port: 81, ...from("All") },
        { name: "selected", port: 82, ...from("Selector") },
        { name: "none", port: 83, ...from("None") },
      ],
    },
  };
  const route = (namespace: string, host: string, parent: object = {}, status: object = {}) => ({
    metadata: { name: host, namespace },
    spec: { parentRefs: [{ name: "gw", namespace: "edge", ...parent }], hostnames: [host] },
    status,
  });
  const refused = {
    parents: [{ parentRef: { name: "gw", namespace: "edge" }, conditions: [{ type: "Accepted", status: "False" }] }],
  };
  const found = apiListeners(gateway, [
    route("edge", "own.org"),
    route("shop", "shop.org"),
    route("shop", "section.org", { sectionName: "all" }),
    route("shop", "port.org", { port: 82 }),
    route("shop", "refused.org", {}, refused),
    route("edge", "service.org", { kind: "Service" }),
  ]);
  expect(found.map(({ hosts }) => hosts)).toEqual([
    ["own.org"],
    ["own.org", "shop.org", "section.org"],
    ["own.org", "shop.org", "port.org"],
    [],
  ]);
});

test("a curl line leads a name and its own port to the port on this machine", () => {
  const at = { port: 80, protocol: "HTTP", hosts: ["a.org", "b.org"], tls: "none" } as const;
  expect(curlLines(at, HERE)).toEqual([
    "curl -i --connect-to a.org:80:127.0.0.1:8080 http://a.org/",
    "curl -i --connect-to b.org:80:127.0.0.1:8080 http://b.org/",
  ]);
  expect(curlLines({ ...at, hosts: [] }, HERE)).toEqual(["curl -i http://127.0.0.1:8080/"]);
  expect(
    curlLines({ ...at, port: 8443, protocol: "HTTPS", hosts: ["a.org"], tls: "server" }, { ...HERE, port: 9443 }),
  ).toEqual(["curl -i -k --connect-to a.org:8443:127.0.0.1:9443 https://a.org:8443/"]);
  expect(
    curlLines({ ...at, port: 443, protocol: "HTTPS", hosts: ["a.org"], tls: "mutual" }, { ...HERE, port: 8443 }),
  ).toEqual(["curl -i -k --cert client.pem --key client-key.pem --connect-to a.org:443:127.0.0.1:8443 https://a.org/"]);
  expect(curlLines({ ...at, protocol: "TCP" }, { ...HERE, port: 9000 })).toEqual(["nc 127.0.0.1 9000"]);
});
