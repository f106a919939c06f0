import { EventEmitter, once } from "node:events";
import { createSecureServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { crc32 } from "node:zlib";
import { textOf } from "../../src/proto/wire.ts";
import { DELTA } from "../../src/xds/variant.ts";
import { message } from "../../test/support/wire-messages.ts";
import { grpcPrefix, nowNs, readMessages } from "./grpc-wire.ts";
import { buildPayload, CLUSTER, emptyOf, LISTENER, NAME_TABLE, nameTable, type Payload, typeUrl } from "./payload.ts";
import { type RoleProcess, startRole } from "./roles.ts";

// The control plane of a benchmark, a role of its own: delta ADS over TLS on node:http2, from bytes that were encoded
// beforehand. It answers the first subscriptions to clusters and listeners and says nothing else unasked.

export interface SourceSettings {
  readonly certPem: string;
  readonly keyPem: string;
}

export interface PushOrder {
  readonly type: string;
  /** About the size of each message. */
  readonly bytes: number;
  readonly count: number;
  /** Each after the ACK of the one before, with that pause; otherwise as fast as the stream takes them. */
  readonly afterAckMs?: number;
}

/** One message on the clock of `nowNs`. */
export interface Pushed {
  readonly nonce: string;
  readonly bytes: number;
  /** CRC-32 of the message. */
  readonly sum: number;
  readonly sentNs: number;
  readonly ackedNs: number;
}

export type SourceOrders = {
  port(none: null): number;
  /** Waits for the next ADS stream; the one before gets no more pushes. */
  stream(none: null): Promise<void>;
  /** To the newest stream. */
  push(order: PushOrder): Promise<Pushed[]>;
  /** To every open stream at once; resolves when all have acknowledged, with their number. */
  pushAll(order: { type: string; bytes: number }): Promise<number>;
};

export const startAdsSource = (settings: SourceSettings): Promise<RoleProcess<SourceOrders>> =>
  startRole<SourceOrders>("source", settings);

/** No push takes longer until its ACK. */
const ACK_LIMIT_MS = 60_000;

export async function serveAdsSource({ certPem, keyPem }: SourceSettings): Promise<SourceOrders> {
  const open = new Set<Downstream>();
  let newest: Downstream | undefined;
  let taken: Downstream | undefined;
  const streams = new EventEmitter();
  // default windows: two Node peers with large ones on both sides can stop reading each other
  const server = createSecureServer({ cert: certPem, key: keyPem });
  server.on("stream", (stream, headers) => {
    if (headers[":path"] !== DELTA.method) return stream.close();
    const downstream = new Downstream(stream);
    open.add(downstream);
    stream.once("close", () => open.delete(downstream));
    newest = downstream;
    streams.emit("stream");
  });
  server.on("sessionError", () => undefined); // an agent that is killed breaks its connection
  await once(server.listen(0, "127.0.0.1"), "listening");
  const prepared = new Map<string, Payload>();
  const payload = (type: string, bytes: number): Payload => {
    const key = `${type} ${bytes}`;
    const found = prepared.get(key) ?? buildPayload(type, bytes);
    prepared.set(key, found);
    return found;
  };
  return {
    port: () => (server.address() as AddressInfo).port,
    async stream() {
      if (newest === taken) await once(streams, "stream");
      taken = newest;
      await newest?.subscribed;
    },
    async push({ type, bytes, count, afterAckMs }) {
      if (newest === undefined) throw new Error("there is no ADS stream");
      const sent: Sent[] = [];
      for (let index = 0; index < count; index++) {
        const one = await newest.push(payload(type, bytes));
        sent.push(one);
        if (afterAckMs === undefined) continue;
        await one.acked;
        await new Promise((resolve) => setTimeout(resolve, afterAckMs));
      }
      return Promise.all(sent.map(async ({ acked, ...one }) => ({ ...one, ackedNs: await acked })));
    },
    async pushAll({ type, bytes }) {
      const sent = await Promise.all([...open].map((one) => one.push(payload(type, bytes))));
      await Promise.all(sent.map(({ acked }) => acked));
      return sent.length;
    },
  };
}

type Sent = Omit<Pushed, "ackedNs"> & { readonly acked: Promise<number> };

let lastNonce = 0;

/** One ADS stream of an agent. */
class Downstream {
  readonly #stream: ServerHttp2Stream;
  readonly #acked = new Map<string, (atNs: number) => void>();
  /** Clusters and listeners were asked for and acknowledged. */
  readonly subscribed: Promise<void>;

  constructor(stream: ServerHttp2Stream) {
    this.#stream = stream;
    stream.on("error", () => undefined);
    stream.respond({ ":status": 200, "content-type": "application/grpc" });
    const missing = new Set([CLUSTER, LISTENER].map(typeUrl));
    let isSubscribed = (): void => undefined;
    this.subscribed = new Promise<void>((resolve) => {
      isSubscribed = resolve;
    });
    readMessages(stream, (request) => {
      const atNs = nowNs();
      const nonce = textOf(request, DELTA.request.nonce);
      const refusal = textOf(request, DELTA.request.errorDetail);
      if (refusal !== "") throw new Error(`a push was refused: ${refusal}`);
      if (nonce !== "") return this.#acked.get(nonce)?.(atNs);
      const type = textOf(request, DELTA.request.typeUrl);
      if (type === typeUrl(NAME_TABLE)) void this.push(nameTable());
      if (missing.has(type))
        void this.push(emptyOf(type)).then(({ acked }) =>
          acked.then(() => {
            missing.delete(type);
            if (missing.size === 0) isSubscribed();
          }),
        );
    });
  }

  /** Resolves when the stream wants more. */
  async push(payload: Payload): Promise<Sent> {
    const nonce = `n${String(++lastNonce).padStart(NONCE_DIGITS, "0")}`;
    const end = message([DELTA.response.nonce, nonce]);
    const bytes = payload.body.length + end.length;
    const acked = this.#ackOf(nonce);
    const sum = crc32(end, payload.sum);
    const sentNs = nowNs();
    this.#stream.cork();
    this.#stream.write(grpcPrefix(bytes));
    this.#stream.write(payload.body);
    const wantsMore = this.#stream.write(end);
    this.#stream.uncork();
    if (!wantsMore) await new Promise((resolve) => this.#stream.once("drain", resolve));
    return { nonce, bytes, sum, sentNs, acked };
  }

  #ackOf(nonce: string): Promise<number> {
    return new Promise((resolve, reject) => {
      const limit = setTimeout(() => reject(new Error(`no ACK of ${nonce}`)), ACK_LIMIT_MS);
      this.#acked.set(nonce, (atNs) => {
        clearTimeout(limit);
        this.#acked.delete(nonce);
        resolve(atNs);
      });
    });
  }
}

const NONCE_DIGITS = 8;

/** Every nonce is the end of its message, and as long as this. */
export const NONCE_BYTES = 1 + NONCE_DIGITS;
