import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Cluster } from "./start-cluster.ts";

/**
 * Answers with the headers of the request. Keeps idle connections open: one that closes while Envoy sends the next
 * request over it costs that request.
 */
export async function startApplication() {
  const held = new Set<() => void>();
  const server = createServer((request, response) => {
    const answer = (): void => void response.end(JSON.stringify(request.headers));
    if (request.url?.endsWith("/held") === true) held.add(answer);
    else answer();
  });
  server.keepAliveTimeout = 0;
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return {
    port: (server.address() as AddressInfo).port,
    /** How many requests for `/held` wait for their answer. */
    held: () => held.size,
    release: () => {
      for (const answer of held) answer();
      held.clear();
    },
    close: () => void server.close().closeAllConnections(),
  };
}

/** Of a pod that runs. */
export async function podAddress({ api, namespace }: Cluster, name: string): Promise<string> {
  const pod = await api.until(
    `/api/v1/namespaces/${namespace}/pods/${name}`,
    ({ status }) => status?.podIP !== undefined,
  );
  return String(pod.status.podIP);
}

/** Service `web`, a sidecar `client` that reaches it on 127.0.0.1, and a gateway for web.example.com; strict mutual TLS. */
export function scene(namespace: string, ports: { service: number; gateway: number; app: number }) {
  const account = (name: string) => ({ apiVersion: "v1", kind: "ServiceAccount", metadata: { name } });
  const pod = (app: string) => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: app, labels: { app, "security.istio.io/tlsMode": "istio" } },
    spec: { serviceAccountName: app, containers: [{ name: "app", image: "none" }] },
  });
  const routed = { route: [{ destination: { host: `web.${namespace}.svc.cluster.local` } }] };
  const server = { port: { number: ports.gateway, name: "http", protocol: "HTTP" }, hosts: ["*"] };
  const http = { number: ports.service, name: "http", protocol: "HTTP" };
  return [
    ...["web", "client", "gateway"].map(account),
    ...["web", "client"].map(pod),
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "web" },
      spec: { selector: { app: "web" }, ports: [{ name: "http", port: ports.service, targetPort: ports.app }] },
    },
    {
      apiVersion: "security.istio.io/v1",
      kind: "PeerAuthentication",
      metadata: { name: "default" },
      spec: { mtls: { mode: "STRICT" } },
    },
    {
      apiVersion: "networking.istio.io/v1",
      kind: "Gateway",
      metadata: { name: "gateway" },
      spec: { selector: { gateway: namespace }, servers: [server] },
    },
    {
      apiVersion: "networking.istio.io/v1",
      kind: "VirtualService",
      metadata: { name: "web" },
      spec: { hosts: ["web.example.com"], gateways: [`${namespace}/gateway`], http: [routed] },
    },
    {
      apiVersion: "networking.istio.io/v1",
      kind: "Sidecar",
      metadata: { name: "client" },
      spec: {
        workloadSelector: { labels: { app: "client" } },
        egress: [{ port: http, bind: "127.0.0.1", captureMode: "NONE", hosts: ["./*"] }],
      },
    },
  ];
}

/** Envoy listens on the pod's address, the application behind it on 127.0.0.1. */
export function inboundSidecar(address: string, port: number) {
  const http = { number: port, name: "http", protocol: "HTTP" };
  return {
    apiVersion: "networking.istio.io/v1",
    kind: "Sidecar",
    metadata: { name: "web" },
    spec: {
      workloadSelector: { labels: { app: "web" } },
      ingress: [{ port: http, bind: address, defaultEndpoint: `127.0.0.1:${port}` }],
      egress: [{ hosts: ["istio-system/*"] }],
    },
  };
}
