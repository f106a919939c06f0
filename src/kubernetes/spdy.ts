import { Duplex } from "node:stream";
import { deflateRawSync, deflateSync, constants as zlib } from "node:zlib";
import { type FrameHead, FrameReader } from "./frame-reader.ts";

interface Frame {
  /** Of a data frame; 0 for a control frame. */
  readonly stream: number;
  /** Of a control frame; 0 for a data frame. */
  readonly type: number;
  readonly isLast: boolean;
}

const SYN_STREAM = 1;
const SYN_REPLY = 2;
const RST_STREAM = 3;
const PING = 6;
const FIN = 1;
const CANCEL = 5;
const CONTROL = 0x8003;
const HEAD_BYTES = 8;
/** A frame of ours; the peer's may have any length. */
const MOST_BYTES = 32_768;
const WATER_BYTES = 65_536;

/** The kubelet wants them in pairs: one on which it reports, one for the bytes. */
const ERROR_STREAM = 1;
const DATA_STREAM = 3;

/** The pod has closed before it said anything: its error, if there is one, comes right behind. */
const ERROR_WAIT_MS = 1_000;
const MOST_ERROR_LENGTH = 2_048;
const PING_MS = 10_000;

/**
 * One forwarded connection over a SPDY/3.1 session of its own. Of SPDY it speaks what the kubelet's side does: two streams,
 * no windows. So a reader that stops stops `carrier`, and with it the pod. What the kubelet reports destroys it.
 * Sources: kubernetes/cri-streaming (portforward/httpstream.go), moby/spdystream.
 */
export class ForwardedPort extends Duplex {
  readonly #carrier: Duplex;
  readonly #pinging: NodeJS.Timeout;
  #opened: { resolve(): void; reject(error: Error): void } | undefined;
  #errorText = "";
  #hasBytes = false;
  #isHeldBack = false;
  #isFinished = false;
  #pings = 1;

  /** Resolves when the API server's peer has accepted both streams. Rejects with its reason, or `cut`'s. */
  static async open(carrier: Duplex, port: number, cut: AbortSignal): Promise<ForwardedPort> {
    const forwarded = new ForwardedPort(carrier);
    const abort = (): void => void forwarded.destroy(cut.reason);
    cut.addEventListener("abort", abort);
    try {
      await new Promise<void>((resolve, reject) => {
        forwarded.#opened = { resolve, reject };
        forwarded.#start(port);
        if (cut.aborted) abort();
      });
    } finally {
      cut.removeEventListener("abort", abort);
    }
    return forwarded;
  }

  private constructor(carrier: Duplex) {
    super({ readableHighWaterMark: WATER_BYTES, writableHighWaterMark: WATER_BYTES });
    this.#carrier = carrier;
    this.on("error", () => undefined); // it may come before anybody listens, and stays in `errored`
    const reader = new FrameReader<Frame>({
      readHead,
      part: (frame, bytes) => this.#part(frame, bytes),
      end: (frame, body) => this.#end(frame, body),
    });
    carrier.on("data", (chunk: Buffer) => {
      try {
        reader.feed(chunk);
      } catch (error) {
        this.destroy(error as Error);
      }
    });
    carrier.once("error", (error) => this.destroy(error));
    carrier.once("end", () => this.#over());
    carrier.once("close", () => this.#over());
    this.#pinging = setInterval(() => this.#ping(), PING_MS);
    this.#pinging.unref();
  }

  override _read(): void {
    this.#carrier.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    const frames: Buffer[] = [];
    for (let at = 0; at < chunk.length; at += MOST_BYTES) {
      const part = chunk.subarray(at, at + MOST_BYTES);
      frames.push(dataHead(part.length, 0), part);
    }
    this.#send(Buffer.concat(frames), done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#send(dataHead(0, FIN), done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearInterval(this.#pinging);
    this.#opened?.reject(error ?? new Error("it was closed"));
    this.#carrier.on("error", () => undefined); // nobody waits for it any more
    if (this.#carrier.writable && !(this.readableEnded && this.writableFinished)) {
      this.#carrier.write(controlFrame(RST_STREAM, Buffer.from([0, 0, 0, DATA_STREAM, 0, 0, 0, CANCEL])));
    }
    this.#carrier.destroy();
    done(error);
  }

  /**
   * Two SYN_STREAMs (SPDY/3.1 section 2.6.1). The second block of headers goes on with the first one's compression. SPDY has
   * a dictionary for it, which zlib leaves to the writer: without it the blocks are some bytes longer.
   */
  #start(port: number): void {
    const headers = (type: string): Buffer => headerBlock({ streamtype: type, port: String(port), requestid: "0" });
    const flush = { finishFlush: zlib.Z_SYNC_FLUSH };
    const first = deflateSync(headers("error"), flush);
    const second = deflateRawSync(headers("data"), flush);
    const frames = [synStream(ERROR_STREAM, first, FIN), synStream(DATA_STREAM, second, 0)];
    this.#send(Buffer.concat(frames), () => undefined);
  }

  #part({ stream }: Frame, bytes: Buffer): void {
    if (stream === ERROR_STREAM)
      this.#errorText = (this.#errorText + bytes.toString("utf8")).slice(0, MOST_ERROR_LENGTH);
    if (stream !== DATA_STREAM) return;
    this.#hasBytes = true;
    if (!this.push(bytes)) this.#carrier.pause();
  }

  #end({ stream, type, isLast }: Frame, body: Buffer): void {
    if (stream === ERROR_STREAM && this.#errorText !== "") this.destroy(new Error(this.#errorText)); // one frame, as Go writes it
    if (stream === DATA_STREAM && isLast) this.#endData();
    const about = type === 0 ? stream : streamOf(body);
    if (type === SYN_REPLY && about === DATA_STREAM) this.#open();
    if (type === RST_STREAM && about === DATA_STREAM && !this.#isHeldBack)
      this.destroy(new Error("the pod's side was reset"));
    if ((type === RST_STREAM || isLast) && about === ERROR_STREAM && this.#isHeldBack) this.#finish();
    const isTheirPing = type === PING && body.length === 4 && ((body[3] ?? 0) & 1) === 0;
    if (isTheirPing) this.#send(controlFrame(PING, body), () => undefined);
  }

  #open(): void {
    this.#opened?.resolve();
    this.#opened = undefined;
  }

  #endData(): void {
    if (this.#hasBytes) {
      this.#finish();
      return;
    }
    this.#isHeldBack = true;
    setTimeout(() => this.#finish(), ERROR_WAIT_MS).unref();
  }

  #finish(): void {
    if (this.destroyed || this.readableEnded || this.#isFinished) return;
    this.#isFinished = true;
    this.push(null);
  }

  #over(): void {
    if (this.#errorText !== "") this.destroy(new Error(this.#errorText));
    else if (this.#isFinished || this.#isHeldBack) this.#finish();
    else this.destroy(new Error("the connection to the pod was cut"));
  }

  #ping(): void {
    if (this.#carrier.writableNeedDrain) return;
    const id = Buffer.alloc(4);
    id.writeUInt32BE(this.#pings);
    this.#pings += 2;
    this.#send(controlFrame(PING, id), () => undefined);
  }

  #send(bytes: Buffer, done: (error?: Error | null) => void): void {
    if (!this.#carrier.writable) done(new Error("the connection to the pod was cut"));
    else if (this.#carrier.write(bytes)) done();
    else this.#carrier.once("drain", () => done());
  }
}

function readHead(bytes: Buffer): FrameHead<Frame> | undefined {
  if (bytes.length < HEAD_BYTES) return undefined;
  const isLast = ((bytes[4] ?? 0) & FIN) !== 0;
  const bodyBytes = bytes.readUIntBE(5, 3);
  const first = bytes.readUInt32BE(0);
  if (first < 0x8000_0000) {
    return { headBytes: HEAD_BYTES, bodyBytes, frame: { stream: first, type: 0, isLast }, isStreamed: true };
  }
  if (first >>> 16 !== CONTROL) throw new Error("the server does not speak SPDY/3.1");
  return { headBytes: HEAD_BYTES, bodyBytes, frame: { stream: 0, type: first & 0xffff, isLast }, isStreamed: false };
}

function streamOf(body: Buffer): number {
  return body.length < 4 ? 0 : body.readUInt32BE(0) & 0x7fff_ffff;
}

function dataHead(length: number, flags: number): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUInt32BE(DATA_STREAM, 0);
  head[4] = flags;
  head.writeUIntBE(length, 5, 3);
  return head;
}

function controlFrame(type: number, body: Buffer, flags = 0): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUInt16BE(CONTROL, 0);
  head.writeUInt16BE(type, 2);
  head[4] = flags;
  head.writeUIntBE(body.length, 5, 3);
  return Buffer.concat([head, body]);
}

function synStream(stream: number, headers: Buffer, flags: number): Buffer {
  const start = Buffer.alloc(10); // the stream, none that it belongs to, priority 0, no slot
  start.writeUInt32BE(stream, 0);
  return controlFrame(SYN_STREAM, Buffer.concat([start, headers]), flags);
}

/** SPDY/3.1 section 2.6.10. */
function headerBlock(headers: Readonly<Record<string, string>>): Buffer {
  const number = (value: number): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value);
    return bytes;
  };
  const texts = Object.entries(headers).flat();
  const parts = texts.flatMap((word) => [number(word.length), Buffer.from(word, "latin1")]);
  return Buffer.concat([number(texts.length / 2), ...parts]);
}
