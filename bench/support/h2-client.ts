import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { grpcFrame, PREFIX_BYTES } from "./grpc-wire.ts";

// A gRPC client of as little HTTP/2 (RFC 9113) as streams of small messages need: one on node:http2 takes longer for a
// hundred streams than the servers that it measures.

export interface H2Events {
  /** A message of a stream is complete. */
  readonly message: (id: number, message: Buffer) => void;
  /** The server has ended a stream. */
  readonly end: (id: number) => void;
}

export interface H2Client extends Disposable {
  /** Begins `count` streams, each with its first message, in one write. Returns their numbers. */
  open(count: number, path: string, message: Uint8Array): number[];
  send(id: number, message: Uint8Array): void;
  /** Half-closes. */
  end(ids: readonly number[]): void;
}

const TYPE = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goAway: 7, windowUpdate: 8 } as const;
const FLAG = { ack: 1, endStream: 1, endHeaders: 4 } as const;
const HEAD_BYTES = 9;
const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
/** SETTINGS_INITIAL_WINDOW_SIZE of 1 MiB; no stream of a benchmark gets more. */
const SETTINGS = Buffer.from([0, 4, 0, 0x10, 0, 0]);
/** Adds 1 GiB to the connection's window, which is never refilled. */
const WINDOW = Buffer.from([0x40, 0, 0, 0]);
const NOTHING = Buffer.alloc(0);

/** Connects to a UNIX socket. What the server says against the client ends the process: there is nothing to measure. */
export async function connectH2(path: string, events: H2Events): Promise<H2Client> {
  const socket = connect(path);
  await once(socket, "connect");
  const sender = new Sender(socket);
  socket.write(Buffer.concat([PREFACE, frame(TYPE.settings, 0, 0, SETTINGS), frame(TYPE.windowUpdate, 0, 0, WINDOW)]));
  await new Promise<void>((resolve) => readFrames(socket, sender, events, resolve));
  socket.once("close", () => endWith("the server closed the connection"));
  let lastId = -1;
  return {
    open(count, method, message) {
      const [head, body] = [headersOf(method), grpcFrame(message)];
      const ids = Array.from({ length: count }, () => {
        lastId += 2;
        return lastId;
      });
      const frames = ids.flatMap((id) => [
        frame(TYPE.headers, FLAG.endHeaders, id, head),
        frame(TYPE.data, 0, id, body),
      ]);
      sender.send(frames);
      return ids;
    },
    send: (id, message) => sender.send([frame(TYPE.data, 0, id, grpcFrame(message))]),
    end: (ids) => sender.send(ids.map((id) => frame(TYPE.data, FLAG.endStream, id, NOTHING))),
    [Symbol.dispose]: () => void socket.removeAllListeners("close").destroy(),
  };
}

/** Keeps to the connection's window; a stream's own is never used up here. */
class Sender {
  readonly #socket: Socket;
  readonly #waiting: Buffer[] = [];
  #creditBytes = 65_535;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  send(frames: readonly Buffer[]): void {
    this.#waiting.push(...frames);
    const ready: Buffer[] = [];
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      const cost = next.readUInt8(3) === TYPE.data ? next.length - HEAD_BYTES : 0;
      if (cost > this.#creditBytes) break;
      this.#creditBytes -= cost;
      ready.push(next);
      this.#waiting.shift();
    }
    if (ready.length > 0) this.#socket.write(Buffer.concat(ready));
  }

  more(bytes: number): void {
    this.#creditBytes += bytes;
    this.send([]);
  }
}

function frame(type: number, flags: number, id: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(id, 5);
  return Buffer.concat([head, payload]);
}

/** HPACK (RFC 7541, 6.2.2): literals without indexing, with names of their own; no text here is longer than 126. */
function headersOf(path: string): Buffer {
  const headers = { ":method": "POST", ":scheme": "http", ":path": path, ":authority": "localhost" };
  const all = { ...headers, te: "trailers", "content-type": "application/grpc" };
  const text = (value: string): Buffer => Buffer.concat([Buffer.from([value.length]), Buffer.from(value)]);
  return Buffer.concat(Object.entries(all).flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]));
}

/** Calls `ready` with the server's settings. */
function readFrames(socket: Socket, sender: Sender, events: H2Events, ready: () => void): void {
  const partial = new Map<number, Buffer>();
  let rest: Buffer = NOTHING;
  socket.on("data", (chunk: Buffer) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    while (rest.length >= HEAD_BYTES) {
      const end = HEAD_BYTES + rest.readUIntBE(0, 3);
      if (rest.length < end) return;
      const [type, flags, id] = [rest.readUInt8(3), rest.readUInt8(4), rest.readUInt32BE(5)];
      takeFrame(type, flags, id, rest.subarray(HEAD_BYTES, end));
      rest = rest.subarray(end);
    }
  });
  const takeFrame = (type: number, flags: number, id: number, payload: Buffer): void => {
    if (type === TYPE.data) takeData(id, payload);
    else if (type === TYPE.settings && flags !== FLAG.ack) {
      socket.write(frame(TYPE.settings, FLAG.ack, 0, NOTHING));
      ready();
    } else if (type === TYPE.ping && flags !== FLAG.ack) socket.write(frame(TYPE.ping, FLAG.ack, 0, payload));
    else if (type === TYPE.windowUpdate && id === 0) sender.more(payload.readUInt32BE(0));
    else if (type === TYPE.goAway) endWith(`GOAWAY ${payload.subarray(4).toString("latin1")}`);
    const mayEnd = type === TYPE.data || type === TYPE.headers;
    if (type !== TYPE.reset && !(mayEnd && (flags & FLAG.endStream) !== 0)) return;
    partial.delete(id);
    events.end(id);
  };
  const takeData = (id: number, payload: Buffer): void => {
    let bytes = Buffer.concat([partial.get(id) ?? NOTHING, payload]);
    while (bytes.length >= PREFIX_BYTES && bytes.length >= PREFIX_BYTES + bytes.readUInt32BE(1)) {
      const end = PREFIX_BYTES + bytes.readUInt32BE(1);
      events.message(id, bytes.subarray(PREFIX_BYTES, end));
      bytes = bytes.subarray(end);
    }
    partial.set(id, bytes);
  };
}

function endWith(reason: string): void {
  console.error(`HTTP/2 client: ${reason}`);
  process.exit(1);
}
