import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from "node:http2";
import type { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { describeError } from "../base/index.ts";
import { Code, type StreamStatus, statusOf } from "../grpc/index.ts";
import { type ConnectOptions, connectHttp2 } from "./connect.ts";
import { type Keepalive, keepAlive } from "./keepalive.ts";
import { failureReason, goawayReason, LastWords } from "./last-words.ts";
import { type MessageHandler, MessageReader } from "./message-reader.ts";
import { MessageWriter } from "./message-writer.ts";
import { nextTurn, readMessages } from "./read-messages.ts";

export interface ClientStreamOptions extends ConnectOptions {
  /** `/package.Service/Method`. */
  readonly method: string;
  readonly authority: string;
  /** Metadata as HTTP/2 has it: binary values are base64 already. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Default: the server is never pinged. */
  readonly keepalive?: Keepalive;
  /** For DNS, TCP, TLS and HTTP/2 together; then the call ends with UNAVAILABLE. */
  readonly connectLimitMs: number;
  /** The longest message that is collected. */
  readonly mostMessageBytes: number;
  /** Takes the server's messages. What it throws ends the call with INTERNAL. */
  readonly handler: MessageHandler;
}

/** One streaming call on a connection of its own. */
export interface ClientStream {
  /** Sends a message, or keeps it until the connection stands. Never refuses. */
  send(message: Uint8Array): void;
  /** Says that no more messages come. */
  end(): void;
  /** Settles once with the final status, when every message before it was taken; never rejects. */
  readonly status: Promise<StreamStatus>;
  /** Resolves with true once HTTP/2 is established, with false if the call ended before. Never rejects. */
  readonly connected: Promise<boolean>;
  /** Cancels the call if it is open, and closes the connection. */
  close(): void;
}

/**
 * As Istio's agent has it: istio/istio pilot/pkg/grpc/grpc.go (defaultInitialConnWindowSize). The window is opened again
 * whenever half of it is used, which costs a write through TLS.
 */
const WINDOW_BYTES = 1_024 * 1_024;

/** Opens a streaming call. Returns at once. */
export function openGrpcStream(options: ClientStreamOptions): ClientStream {
  return new Call(options);
}

class Call implements ClientStream {
  readonly status: Promise<StreamStatus>;
  readonly connected: Promise<boolean>;
  readonly #options: ClientStreamOptions;
  readonly #stop = new AbortController();
  #session: ClientHttp2Session | undefined;
  #writer: MessageWriter | undefined;
  /** Before there is a connection. */
  #waiting: Uint8Array[] = [];
  #isDone = false;
  #isOver = false;
  #finish: (status: StreamStatus) => void = () => undefined;
  #setConnected: (isConnected: boolean) => void = () => undefined;

  constructor(options: ClientStreamOptions) {
    this.#options = options;
    this.connected = new Promise((resolve) => {
      this.#setConnected = resolve;
    });
    this.status = new Promise((resolve) => {
      this.#finish = (status) => {
        this.#isOver = true;
        this.#setConnected(false);
        resolve(status);
      };
    });
    void this.#run();
  }

  send(message: Uint8Array): void {
    if (this.#isOver) return;
    if (this.#writer === undefined) this.#waiting.push(message);
    else void this.#writer.send(message);
  }

  end(): void {
    this.#isDone = true;
    this.#writer?.end();
  }

  close(): void {
    this.#finish({ code: Code.CANCELLED, details: "Cancelled on client" });
    this.#stop.abort();
    this.#session?.destroy(undefined, constants.NGHTTP2_CANCEL);
  }

  async #run(): Promise<void> {
    const { connectLimitMs } = this.#options;
    const stop = this.#stop.signal;
    const limit = setTimeout(() => this.#stop.abort(), connectLimitMs);
    let socket: Socket | undefined;
    try {
      socket = await connectHttp2(this.#options, stop);
      if (this.#isOver) return void socket.destroy();
      this.#speak(socket);
      await this.connected;
    } catch (error) {
      const reason = stop.aborted ? this.#late(describeError(error)) : describeError(error);
      this.#finish({ code: Code.UNAVAILABLE, details: reason });
      this.#session?.destroy();
      socket?.destroy();
    } finally {
      clearTimeout(limit);
    }
  }

  #late(reason: string): string {
    return `no connection within ${Math.ceil(this.#options.connectLimitMs / 100) / 10}s: ${reason}`;
  }

  #speak(socket: Socket): void {
    const { tls, keepalive } = this.#options;
    // the URL is none that anybody sees: the authority stands in the request
    const session = connect(tls === "plaintext" ? "http://localhost" : "https://localhost", {
      createConnection: () => socket,
      settings: { enablePush: false, initialWindowSize: WINDOW_BYTES },
      maxSessionMemory: Number.MAX_SAFE_INTEGER, // requests wait in it without bound
    });
    this.#session = session;
    const last = new LastWords(session);
    const lost = (reason: string): void => {
      last.lose(reason);
      session.destroy(); // which closes the stream, and that ends the call
    };
    this.#stop.signal.addEventListener("abort", () => {
      if (!last.isUp) lost(this.#late("the address does not answer"));
    });
    session.once("connect", () => {
      if (!session.destroyed) session.setLocalWindowSize(WINDOW_BYTES); // a call that is closed by then has none
    });
    session.once("remoteSettings", () => {
      last.isUp = true;
      this.#setConnected(true);
    });
    session.on("goaway", (code, _, words) => {
      if (code === 0) last.noteFarewell(words);
      else lost(goawayReason(code, words));
    });
    const failed = (error: Error): void => lost(failureReason(error, last.isUp));
    socket.on("error", failed);
    session.on("error", failed);
    session.once("close", () =>
      lost(last.isUp ? "Connection dropped" : "the server closed the connection before HTTP/2 was set up"),
    );
    if (keepalive !== undefined)
      keepAlive(session, keepalive, () => lost("the server does not answer keepalive probes"));
    this.#call(session, last);
  }

  #call(session: ClientHttp2Session, last: LastWords): void {
    const { method, authority, headers, handler, mostMessageBytes } = this.#options;
    const stream = session.request({
      ...manyValued(headers),
      ":method": "POST",
      ":authority": authority,
      ":path": method,
      "content-type": "application/grpc",
      "user-agent": "grpc-pilotboat",
      te: "trailers",
    });
    last.follow(stream);
    const reader = new MessageReader(handler, {
      mostBytes: mostMessageBytes,
      encoding: () => last.encoding,
      unknownEncodingCode: Code.INTERNAL,
    });
    const read = readMessages(stream, { push: (chunk) => (last.isGrpc ? reader.push(chunk) : last.notePage(chunk)) });
    const writer = new MessageWriter(stream);
    this.#writer = writer;
    for (const message of this.#waiting) void writer.send(message);
    this.#waiting = [];
    if (this.#isDone) writer.end();
    Promise.race([read, last.pageRead]).then(
      async (how) => {
        await nextTurn(); // trailers, or why the connection broke
        if (!last.isUp)
          await last.lost; // by the limit at the latest
        else if (how === "ended" && last.isUnexplained) await Promise.race([last.lost, delay(LOSS_LATE_MS)]);
        this.#end(stream, last.status(how, reader.isBetweenMessages));
      },
      (error) => this.#end(stream, statusOf(error)),
    );
  }

  #end(stream: ClientHttp2Stream, status: StreamStatus): void {
    this.#finish(status);
    stream.close(constants.NGHTTP2_CANCEL);
    this.#session?.close();
  }
}

/** On Bun the streams of a connection that is lost end some milliseconds before it closes, as if the server had ended them. */
const LOSS_LATE_MS = 100;

/** Of these HTTP/2 has one; the last counts. */
const SINGLE: ReadonlySet<string> = new Set(["authorization", "user-agent", "host", "content-length", "age", "etag"]);

function manyValued(headers: ClientStreamOptions["headers"]): Record<string, string[]> {
  const many: Record<string, string[]> = Object.create(null);
  for (const [name, value] of headers) {
    const values = SINGLE.has(name) ? [] : (many[name] ?? []);
    many[name] = [...values, value];
  }
  return many;
}
