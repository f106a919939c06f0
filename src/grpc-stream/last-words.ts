import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders, IncomingHttpStatusHeader } from "node:http2";
import { describeError, systemCode } from "../base/index.ts";
import { Code, type StreamStatus } from "../grpc/index.ts";
import { encodingOf, statusOfHttp, statusOfReset, statusOfTrailers } from "./status.ts";

/** Of a page, or of a GOAWAY, for a status. */
const MOST_WORDS = 200;

/** A page that goes on for longer ends the call all the same: its head has said that it is no gRPC. */
const PAGE_LIMIT_MS = 1_000;

/** Why a connection is lost whose server says GOAWAY with an error. */
export function goawayReason(code: number, words: Uint8Array | undefined): string {
  const said = printable(words);
  return `the server ended the connection with GOAWAY ${code}${said === "" ? "" : `: ${said}`}`;
}

function printable(words: Uint8Array | undefined): string {
  return Buffer.from(words ?? [])
    .toString()
    .replace(/[^ -~]+/g, " ")
    .slice(0, MOST_WORDS);
}

/** Why a connection is lost on which HTTP/2 fails. */
export function failureReason(error: Error, isUp: boolean): string {
  const isOtherProtocol = !isUp && systemCode(error) === "ERR_HTTP2_ERROR";
  return isOtherProtocol ? "the server does not speak HTTP/2" : describeError(error);
}

/** What the server has said about the end of a call so far. */
export class LastWords {
  /** Whether HTTP/2 was established. */
  isUp = false;
  /** Resolves once it is known what broke the connection. */
  readonly lost: Promise<void>;
  /** Resolves once enough of an answer is there that is no gRPC: 200 bytes, or what came within 1 s of its headers. */
  readonly pageRead: Promise<"ended">;
  #loss: string | undefined;
  /** What the server said in a GOAWAY without an error. */
  #farewell = "";
  #setLost: () => void = () => undefined;
  #setPageRead: () => void = () => undefined;
  readonly #session: ClientHttp2Session;
  #stream: ClientHttp2Stream | undefined;
  #headers: IncomingHttpHeaders & IncomingHttpStatusHeader = {};
  #trailers: IncomingHttpHeaders = {};
  #page = "";

  constructor(session: ClientHttp2Session) {
    this.#session = session;
    this.lost = new Promise((resolve) => {
      this.#setLost = resolve;
    });
    this.pageRead = new Promise((resolve) => {
      this.#setPageRead = () => resolve("ended");
    });
  }

  /** The first reason counts. */
  lose(reason: string): void {
    this.#loss ??= reason;
    this.#setLost();
  }

  /** A GOAWAY without an error. The call goes on; the words explain what ends it later. */
  noteFarewell(words: Uint8Array | undefined): void {
    this.#farewell = printable(words) || this.#farewell; // a second GOAWAY, just before the end, has no words
  }

  follow(stream: ClientHttp2Stream): void {
    this.#stream = stream;
    stream.on("error", () => undefined); // "close" follows, and says the same
    stream.once("response", (headers) => {
      this.#headers = headers;
      if (!this.isGrpc) setTimeout(this.#setPageRead, PAGE_LIMIT_MS).unref();
    });
    stream.once("trailers", (trailers) => {
      this.#trailers = trailers;
    });
  }

  get encoding(): string | undefined {
    return encodingOf(this.#headers);
  }

  /** Whether what the server sends are messages. */
  get isGrpc(): boolean {
    return this.#httpStatus === 200 && this.#contentType.startsWith("application/grpc");
  }

  /** Whether the messages of the server are over, and it has not said why. */
  get isUnexplained(): boolean {
    const hasStatus = (statusOfTrailers(this.#trailers) ?? statusOfTrailers(this.#headers)) !== undefined;
    return !hasStatus && this.isGrpc && this.#loss === undefined && (this.#stream?.rstCode ?? 0) === 0;
  }

  /** Bytes that are no messages: the page of a gateway, most often. */
  notePage(bytes: Buffer): void {
    if (this.#page.length < MOST_WORDS) this.#page += bytes.toString("latin1", 0, MOST_WORDS);
    if (this.#page.length >= MOST_WORDS) this.#setPageRead();
  }

  status(how: "ended" | "broken", isBetweenMessages: boolean): StreamStatus {
    const told = statusOfTrailers(this.#trailers) ?? statusOfTrailers(this.#headers);
    if (told !== undefined) return told.code === Code.OK && !isBetweenMessages ? CUT_SHORT : told;
    if (!this.isGrpc) return this.#noGrpc();
    if (this.#loss !== undefined || this.#session.destroyed)
      return this.#explained({ code: Code.UNAVAILABLE, details: this.#loss ?? "Connection dropped" });
    const resetCode = this.#stream?.rstCode ?? 0; // of a reset Node says first that the messages ended
    if (how === "broken" || resetCode !== 0) return this.#explained(statusOfReset(resetCode));
    return this.#explained(isBetweenMessages ? NO_STATUS : CUT_SHORT);
  }

  #explained({ code, details }: StreamStatus): StreamStatus {
    return { code, details: this.#farewell === "" ? details : `${details}, after GOAWAY 0: ${this.#farewell}` };
  }

  #noGrpc(): StreamStatus {
    const page = this.#page
      .replace(/[^!-~]+/g, " ")
      .trim()
      .slice(0, MOST_WORDS);
    const { code, details } =
      this.#httpStatus === 200
        ? { code: Code.UNKNOWN, details: `the server does not speak gRPC: content-type "${this.#contentType}"` }
        : statusOfHttp(this.#httpStatus);
    return { code, details: page === "" ? details : `${details}: ${page}` };
  }

  get #httpStatus(): number {
    return this.#headers[":status"] ?? 200;
  }

  get #contentType(): string {
    return this.#headers["content-type"] ?? "application/grpc";
  }
}

const CUT_SHORT: StreamStatus = { code: Code.INTERNAL, details: "the server ended the stream within a message" };
const NO_STATUS: StreamStatus = { code: Code.INTERNAL, details: "the server ended the stream without a status" };
