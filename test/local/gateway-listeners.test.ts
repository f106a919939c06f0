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
    { port: 443, protocol: "HTTPS", hosts: ["a.example.com", "other.org"], tls: "server" },
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

test("a curl line leads a name and its own port to the port on this machine", () => {
  const at = { port: 80, protocol: "HTTP", hosts: ["a.org", "b.org"], tls: "none" } as const;
  expect(curlLines(at, 8080)).toEqual([
    "curl -i --connect-to a.org:80:127.0.0.1:8080 http://a.org/",
    "curl -i --connect-to b.org:80:127.0.0.1:8080 http://b.org/",
  ]);
  expect(curlLines({ ...at, hosts: [] }, 8080)).toEqual(["curl -i http://127.0.0.1:8080/"]);
  expect(curlLines({ ...at, port: 8443, protocol: "HTTPS", hosts: ["a.org"], tls: "server" }, 9443)).toEqual([
    "curl -i -k --connect-to a.org:8443:127.0.0.1:9443 https://a.org:8443/",
  ]);
  expect(curlLines({ ...at, port: 443, protocol: "HTTPS", hosts: ["a.org"], tls: "mutual" }, 8443)).toEqual([
    "curl -i -k --cert client.pem --key client-key.pem --connect-to a.org:443:127.0.0.1:8443 https://a.org/",
  ]);
  expect(curlLines({ ...at, protocol: "TCP" }, 9000)).toEqual(["nc 127.0.0.1 9000"]);
});
