import { connect, createServer, type Server, type Socket } from "node:net";
import { splitHostPort } from "../../src/base/index.ts";
import type { Cluster } from "./start-cluster.ts";

export interface StandInOptions {
  /** Of the pod. */
  readonly name: string;
  readonly revision: string;
  /** Of the pod, on the loopback. */
  readonly address: string;
  /** Default `istio-system`. */
  readonly namespace?: string;
  /** What the pod does with a connection. Default: passes it on to the cluster's istiod. */
  readonly serve?: (socket: Socket) => void;
}

/** A pod of istiod of its own revision, so that no other test finds it; 15012 of its address leads to the real istiod. */
export interface StandIn extends AsyncDisposable {
  /** How many connections it has now. */
  connections(): number;
  /** As a kubelet that stops the container: connections are cut, nobody listens, and the pod is gone. */
  kill(): Promise<void>;
}

const XDS_PORT = 15_012;

export async function startStandIn(cluster: Cluster, options: StandInOptions): Promise<StandIn> {
  const { name, revision, address, namespace = "istio-system", serve = passOnTo(cluster.discoveryAddress) } = options;
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.on("error", () => undefined).on("close", () => open.delete(socket));
    serve(socket);
  });
  await new Promise<void>((done, fail) => server.once("error", fail).listen(XDS_PORT, address, done));
  const labels = { app: "istiod", "istio.io/rev": revision };
  const path = `/api/v1/namespaces/${namespace}/pods/${name}`;
  await cluster.api.apply({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, labels, annotations: { "cluster.test/address": address } },
    spec: { containers: [{ name: "discovery", image: "none" }] },
  });
  await cluster.api.until(path, ({ status }) => status?.phase === "Running");
  let isGone = false;
  const kill = async (): Promise<void> => {
    if (isGone) return;
    isGone = true;
    await cluster.api.delete(path);
    await close(server, open);
  };
  return { connections: () => open.size, kill, [Symbol.asyncDispose]: kill };
}

function close(server: Server, open: ReadonlySet<Socket>): Promise<void> {
  for (const socket of open) socket.destroy();
  return new Promise((done) => void server.close(() => done()));
}

/** Passes a connection on to `host:port` of this machine. */
export function passOnTo(address: string): (socket: Socket) => void {
  const split = splitHostPort(address);
  if (typeof split === "string") throw new Error(split);
  return (socket) => {
    const upstream = connect(Number(split.port), "127.0.0.1");
    upstream.on("error", () => undefined).on("close", () => socket.destroy());
    socket.on("close", () => upstream.destroy());
    socket.pipe(upstream).pipe(socket);
  };
}
