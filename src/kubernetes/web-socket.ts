import { randomBytes } from "node:crypto";
import { Duplex } from "node:stream";
import { type FrameHead, FrameReader } from "./frame-reader.ts";

interface Frame {
  readonly opcode: number;
}

const CONTINUATION = 0;
const BINARY = 2;
const CLOSE = 8;
const PING = 9;
const PONG = 10;
const NORMAL_CLOSURE = 1_000;
const GOING_AWAY = 1_001;

/** So often a ping, for the proxies in between: most end a connection that is silent for a minute. */
const PING_MS = 10_000;
/** A server that says nothing for so long, although we read and have nothing to send, is gone. */
const SILENCE_MS = 45_000;

/**
 * The client's side of a WebSocket that carries one stream of bytes in binary messages (RFC 6455). Back-pressure goes
 * both ways: who does not read stops the peer, and a write ends when the socket has taken it. An end that is no normal
 * closure destroys it with the reason.
 */
export class WebSocketStream extends Duplex {
  readonly #socket: Duplex;
  readonly #reader: FrameReader<Frame>;
  readonly #pinging: NodeJS.Timeout;
  #heardMs = Date.now();
  #isPaused = false;
  #isClosed = false;

  /** `socket` after the upgrade, `head` what was read of it behind the answer. */
  constructor(socket: Duplex, head: Buffer) {
    super({ readableHighWaterMark: WATER_BYTES, writableHighWaterMark: WATER_BYTES });
    this.#socket = socket;
    this.#reader = new FrameReader({
      readHead,
      part: (_frame, bytes) => {
        if (!this.push(bytes)) this.#pause();
      },
      end: ({ opcode }, body) => this.#control(opcode, body),
    });
    socket.on("data", (chunk: Buffer) => this.#feed(chunk));
    socket.once("error", (error) => this.destroy(error));
    socket.once("close", () => this.destroy(this.#isClosed ? undefined : new Error("the connection was cut")));
    this.#pinging = setInterval(() => this.#ping(), PING_MS);
    this.#pinging.unref();
    if (head.length > 0) this.#feed(head);
  }

  override _read(): void {
    this.#isPaused = false;
    this.#heardMs = Date.now();
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#send(BINARY, chunk, done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#close(NORMAL_CLOSURE);
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearInterval(this.#pinging);
    if (!this.#isClosed && error === null) this.#close(GOING_AWAY);
    this.#socket.on("error", () => undefined); // nobody waits for it any more
    this.#socket.destroy();
    done(error);
  }

  #pause(): void {
    this.#isPaused = true;
    this.#socket.pause();
  }

  #feed(chunk: Buffer): void {
    this.#heardMs = Date.now();
    try {
      this.#reader.feed(chunk);
    } catch (error) {
      this.destroy(error as Error);
    }
  }

  #control(opcode: number, body: Buffer): void {
    if (opcode === PING) this.#send(PONG, body, () => undefined);
    if (opcode !== CLOSE) return;
    const code = body.length < 2 ? NORMAL_CLOSURE : body.readUInt16BE(0);
    this.#close(NORMAL_CLOSURE);
    if (code === NORMAL_CLOSURE) this.push(null);
    else this.destroy(new Error(`the server closed the WebSocket: ${code} ${body.toString("utf8", 2)}`.trimEnd()));
  }

  #ping(): void {
    const isWaiting = this.#isPaused || this.#socket.writableNeedDrain;
    if (!isWaiting && Date.now() - this.#heardMs > SILENCE_MS) {
      this.destroy(new Error(`the server has not answered for ${SILENCE_MS / 1_000} s`));
    } else if (!isWaiting) {
      this.#send(PING, Buffer.alloc(0), () => undefined);
    }
  }

  #close(code: number): void {
    if (this.#isClosed) return;
    const body = Buffer.alloc(2);
    body.writeUInt16BE(code);
    this.#send(CLOSE, body, () => undefined);
    this.#isClosed = true;
  }

  #send(opcode: number, body: Buffer, done: (error?: Error | null) => void): void {
    if (this.#isClosed || this.#socket.destroyed) done(new Error("the WebSocket is closed"));
    else if (this.#socket.write(encodeFrame(opcode, body))) done();
    else this.#socket.once("drain", () => done());
  }
}

const WATER_BYTES = 65_536;

/** One whole message, masked as a client has to. */
function encodeFrame(opcode: number, body: Buffer): Buffer {
  const lengthBytes = body.length < 126 ? 0 : body.length < 65_536 ? 2 : 8;
  const start = 2 + lengthBytes + 4;
  const frame = Buffer.allocUnsafe(start + body.length);
  frame[0] = 0x80 | opcode;
  frame[1] = 0x80 | (lengthBytes === 0 ? body.length : lengthBytes === 2 ? 126 : 127);
  if (lengthBytes === 2) frame.writeUInt16BE(body.length, 2);
  if (lengthBytes === 8) frame.writeBigUInt64BE(BigInt(body.length), 2);
  const mask = randomBytes(4);
  mask.copy(frame, start - 4);
  for (let i = 0; i < body.length; i++) frame[start + i] = (body[i] as number) ^ (mask[i & 3] as number);
  return frame;
}

function readHead(bytes: Buffer): FrameHead<Frame> | undefined {
  const [first, second] = bytes;
  if (first === undefined || second === undefined) return undefined;
  const opcode = first & 0x0f;
  if ((first & 0x70) !== 0 || (second & 0x80) !== 0) throw new Error("the server breaks the rules of WebSocket");
  if (![CONTINUATION, BINARY, CLOSE, PING, PONG].includes(opcode)) {
    throw new Error(`the server sent a message of WebSocket type ${opcode}, expected a binary one`);
  }
  const short = second & 0x7f;
  const headBytes = short < 126 ? 2 : short === 126 ? 4 : 10;
  if (bytes.length < headBytes) return undefined;
  const bodyBytes = short < 126 ? short : short === 126 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
  return { headBytes, bodyBytes, frame: { opcode }, isStreamed: opcode < CLOSE };
}
