import { create, toBinary } from "@bufbuild/protobuf";
import { DiscoveryRequestSchema } from "../../src/proto/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { textOf } from "../../src/proto/wire.ts";
import { SOTW } from "../../src/xds/variant.ts";
import { nowNs } from "./grpc-wire.ts";
import { connectH2, type H2Client } from "./h2-client.ts";
import { type RoleProcess, startRole } from "./roles.ts";

// Envoy as an SDS server sees it, a role of its own: it asks for the workload's certificate on streams of one connection.

export interface SdsClientSettings {
  readonly socket: string;
}

export type SdsClientOrders = {
  /**
   * Opens streams at once and ends them when all have their secret; `isFresh` takes a new connection for it, which
   * counts. Milliseconds of each from opening to its secret.
   */
  measure(order: { count: number; isFresh: boolean }): Promise<number[]>;
  /** Opens streams that stay. */
  hold(count: number): Promise<void>;
  /** Resolves when each of these streams has got another secret: when each came, on the clock of `nowNs`. */
  nextOfHeld(none: null): Promise<number[]>;
};

export const startSdsClient = (settings: SdsClientSettings): Promise<RoleProcess<SdsClientOrders>> =>
  startRole<SdsClientOrders>("client", settings);

const METHOD = "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets";

export async function serveSdsClient({ socket }: SdsClientSettings): Promise<SdsClientOrders> {
  const shared = await Connection.open(socket);
  let held: number[] = [];
  return {
    async measure({ count, isFresh }) {
      const startedNs = nowNs();
      using connection = isFresh ? await Connection.open(socket) : undefined;
      const streams = connection ?? shared;
      const openedNs = isFresh ? startedNs : nowNs();
      const ids = streams.client.open(count, METHOD, FIRST_REQUEST);
      const tookMs = (await streams.secrets(ids)).map((atNs) => (atNs - openedNs) / 1e6);
      await streams.end(ids);
      return tookMs;
    },
    async hold(count) {
      const ids = shared.client.open(count, METHOD, FIRST_REQUEST);
      await shared.secrets(ids);
      held = [...held, ...ids];
    },
    nextOfHeld: () => shared.secrets(held),
  };
}

class Connection {
  readonly #secret = new Map<number, (atNs: number) => void>();
  readonly #ended = new Map<number, () => void>();
  client!: H2Client;

  static async open(socket: string): Promise<Connection> {
    const connection = new Connection();
    connection.client = await connectH2(socket, {
      message: (id, message) => connection.#take(id, message),
      end: (id) => connection.#ended.get(id)?.(),
    });
    return connection;
  }

  /** When the next secret of each stream comes, which is acknowledged. */
  secrets(ids: readonly number[]): Promise<number[]> {
    return Promise.all(ids.map((id) => new Promise<number>((resolve) => this.#secret.set(id, resolve))));
  }

  async end(ids: readonly number[]): Promise<void> {
    const ended = ids.map((id) => new Promise<void>((resolve) => this.#ended.set(id, resolve)));
    this.client.end(ids);
    await Promise.all(ended);
    for (const id of ids) this.#ended.delete(id);
  }

  #take(id: number, message: Buffer): void {
    const atNs = nowNs();
    if (!message.includes("-----BEGIN CERTIFICATE-----")) throw new Error(`no certificate in ${message}`);
    const versionInfo = textOf(message, SOTW.response.versionInfo);
    const responseNonce = textOf(message, SOTW.response.nonce);
    this.client.send(id, encode({ typeUrl: SECRET, resourceNames: ["default"], versionInfo, responseNonce }));
    this.#secret.get(id)?.(atNs);
    this.#secret.delete(id);
  }

  [Symbol.dispose](): void {
    this.client[Symbol.dispose]();
  }
}

const SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

function encode(request: Parameters<typeof create<typeof DiscoveryRequestSchema>>[1]): Buffer {
  return Buffer.from(toBinary(DiscoveryRequestSchema, create(DiscoveryRequestSchema, request ?? {})));
}

/** With a node of about the size that Istio's injector gives a sidecar. */
const FIRST_REQUEST = encode({
  node: {
    id: "sidecar~10.0.0.1~reviews-v1-5b5bd4b9d6-2kq7z.default~default.svc.cluster.local",
    cluster: "reviews.default",
    metadata: {
      LABELS: Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`app.kubernetes.io/label-${i}`, `value-${i}`])),
      PROXY_CONFIG: { discoveryAddress: "istiod.istio-system.svc:15012", concurrency: 2, tracing: { sampling: 1 } },
      ...Object.fromEntries(Array.from({ length: 24 }, (_, i) => [`ISTIO_KEY_${i}`, `a value of some length ${i}`])),
    },
  },
  typeUrl: SECRET,
  resourceNames: ["default"],
});
