import { createServer, request } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { connect } from "node:tls";
import { createTestCa } from "../support/test-ca.ts";
import type { Cluster } from "./start-cluster.ts";

/** What becomes of a request: an answer of somebody in between, no answer, or half of the real one. */
export type Fault =
  | "cut"
  | "hang"
  | "half"
  /** Passed on; the answer has a `Date` that is so much later. */
  | { readonly dateAheadMs: number }
  | { readonly status: number; readonly body: string; readonly headers?: Readonly<Record<string, string>> };

export interface FaultyApi extends AsyncDisposable {
  /** A kubeconfig of an administrator with a token, who reaches the API server through here. */
  readonly kubeconfig: string;
  /** `METHOD path` of all requests so far. */
  readonly seen: readonly string[];
  /** For each request with such a path from now on, or for the first `times`; others are passed on. */
  break(path: RegExp, fault: Fault, times?: number): void;
  mend(): void;
}

/** A reverse proxy in front of the real API server, upgrades included. */
export async function startFaultyApi(cluster: Cluster): Promise<FaultyApi> {
  const ca = await createTestCa("in between");
  const { certPem, keyPem } = await ca.issue({ ips: ["127.0.0.1"] });
  const { url, ca: clusterCa } = cluster.access;
  const target = { host: "127.0.0.1", port: Number(new URL(url).port), ca: clusterCa };
  const seen: string[] = [];
  const open = new Set<Duplex>();
  let broken: { readonly path: RegExp; readonly fault: Fault; left: number } | undefined;
  const faultOf = (path: string): Fault | undefined => {
    if (broken === undefined || !broken.path.test(path) || broken.left-- <= 0) return undefined;
    return broken.fault;
  };
  const server = createServer({ cert: certPem, key: keyPem }, (asked, answer) => {
    seen.push(`${asked.method} ${asked.url}`);
    const fault = faultOf(`${asked.method} ${asked.url}`);
    if (fault === "hang") return;
    if (fault === "cut") return void asked.socket.destroy();
    if (typeof fault === "object" && "status" in fault)
      return void answer.writeHead(fault.status, fault.headers).end(fault.body);
    const { method, url: path, headers } = asked;
    const passed = request({ ...target, method, path, headers, agent: false }, (found) => {
      const aheadMs = typeof fault === "object" ? fault.dateAheadMs : 0;
      const date = aheadMs === 0 ? {} : { date: new Date(Date.now() + aheadMs).toUTCString() };
      answer.writeHead(found.statusCode ?? 0, { ...found.headers, ...date });
      if (fault !== "half") return void found.pipe(answer);
      found.once("data", (chunk: Buffer) => {
        answer.write(chunk.subarray(0, chunk.length / 2), () => asked.socket.destroy());
      });
    });
    passed.on("error", () => answer.destroy());
    asked.pipe(passed);
  });
  server.on("connection", (socket: Socket) => {
    open.add(socket);
    socket.on("error", () => undefined).on("close", () => open.delete(socket));
  });
  server.on("upgrade", (asked, socket: Duplex) => {
    const line = `${asked.method} ${asked.url} ${asked.headers.upgrade}`;
    seen.push(line);
    const fault = faultOf(line);
    socket.on("error", () => undefined);
    if (fault === "hang") return;
    if (fault === "cut" || fault === "half") return void socket.destroy();
    if (fault !== undefined && "status" in fault) {
      const { status, body } = fault;
      socket.end(`HTTP/1.1 ${status} No\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`);
      return;
    }
    const upstream = connect({ ...target, servername: "" }, () => {
      const head: string[] = [];
      for (let i = 0; i < asked.rawHeaders.length; i += 2)
        head.push(`${asked.rawHeaders[i]}: ${asked.rawHeaders[i + 1]}`);
      upstream.write(`${asked.method} ${asked.url} HTTP/1.1\r\n${head.join("\r\n")}\r\n\r\n`);
      socket.pipe(upstream).pipe(socket);
    });
    upstream.on("error", () => undefined).on("close", () => socket.end()); // what was answered still arrives
    socket.on("close", () => upstream.destroy());
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  const token = await administrator(cluster);
  return {
    kubeconfig: JSON.stringify({
      apiVersion: "v1",
      kind: "Config",
      "current-context": "faulty",
      contexts: [{ name: "faulty", context: { cluster: "faulty", user: "admin", namespace: cluster.namespace } }],
      clusters: [
        {
          name: "faulty",
          cluster: {
            server: `https://127.0.0.1:${port}`,
            "certificate-authority-data": Buffer.from(ca.certPem).toString("base64"),
          },
        },
      ],
      users: [{ name: "admin", user: { token } }],
    }),
    seen,
    break(path, fault, times = Number.POSITIVE_INFINITY) {
      broken = { path, fault, left: times };
    },
    mend() {
      broken = undefined;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      await new Promise((done) => server.close(done));
    },
  };
}

/** A token of an account that may do everything. */
async function administrator(cluster: Cluster): Promise<string> {
  const { namespace } = cluster;
  await cluster.apply({ apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "administrator" } });
  await cluster.apply({
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRoleBinding",
    metadata: { name: `administrator-${namespace}` },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "cluster-admin" },
    subjects: [{ kind: "ServiceAccount", name: "administrator", namespace }],
  });
  return cluster.token("administrator", { audience: "https://kubernetes.default.svc.cluster.local" });
}
