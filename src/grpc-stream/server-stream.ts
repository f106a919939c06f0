import { constants, type IncomingHttpHeaders, type OutgoingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { Code, StatusError, type StreamStatus } from "../grpc/index.ts";
import { keepDeadline, timeoutMsOf } from "./deadline.ts";
import { type MessageHandler, MessageReader } from "./message-reader.ts";
import { MessageWriter, type PieceWriter } from "./message-writer.ts";
import { nextTurn, readMessages } from "./read-messages.ts";
import { encodingOf, trailersOf } from "./status.ts";

/** A call of somebody's, as its server has it. */
export interface ServerStream {
  /** The call's metadata, as HTTP/2 has it. */
  readonly headers: IncomingHttpHeaders;
  /** What the call came by; a TLSSocket where the server speaks TLS. */
  readonly connection: Socket;
  /**
   * Reads the caller's messages, of at most `mostBytes`. Resolves once the caller has sent the last and it was taken, and
   * never where the caller breaks off. Rejects with a StatusError, or with what the handler throws.
   */
  read(handler: MessageHandler, mostBytes: number): Promise<void>;
  /** A promise settles when there is room for more, or the stream is over. `onSent` is called once the message has left. */
  send(message: Uint8Array, onSent?: () => void): Promise<void> | void;
  /** Begins a message whose bytes come later. Resolves when it is its turn. */
  begin(length: number): Promise<PieceWriter>;
  /** Ends the stream. The first status counts; within a message OK becomes UNAVAILABLE. */
  finish(status: StreamStatus): void;
  /** Ends the stream of a caller that does not read, and drops what it was owed. gRPC reads this as RESOURCE_EXHAUSTED. */
  giveUp(): void;
  /** Resolves when the caller breaks the stream off, its deadline passes, or its connection breaks. */
  readonly broken: Promise<void>;
  /** Resolves when the stream is over, however it ended. */
  readonly closed: Promise<void>;
}

const ANSWER = {
  ":status": 200,
  "content-type": "application/grpc",
  "grpc-accept-encoding": "identity,deflate,gzip",
};

const CUT_SHORT: StreamStatus = { code: Code.UNAVAILABLE, details: "the stream ended within a message" };
/** A promise of its own each time: one that is shared would keep whoever waits for it. */
const never = (): Promise<void> => new Promise(() => undefined);

/** A call whose deadline, if it has one, ends it with DEADLINE_EXCEEDED. Throws INTERNAL where the deadline is malformed. */
export function serverStream(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  connection: Socket,
): ServerStream {
  const timeoutMs = timeoutMsOf(headers["grpc-timeout"]);
  const writer = new MessageWriter(stream, () => stream.respond(ANSWER, { waitForTrailers: true }));
  let isFinished = false;
  let isLate = false;
  const closed = new Promise<void>((resolve) => stream.once("close", resolve));
  stream.on("error", () => undefined); // "close" follows, and says the same
  stream.once("aborted", () => {
    if (!isFinished) stream.destroy(); // Node would wait for what the caller no longer takes
  });
  const finish = (status: StreamStatus): void => {
    if (isFinished || stream.destroyed || stream.closed) return;
    isFinished = true;
    const last = writer.isWithinMessage && status.code === Code.OK ? CUT_SHORT : status;
    if (!stream.headersSent) {
      stream.respond({ ...ANSWER, ...trailersOf(last) }, { endStream: true });
      closeSoon(stream);
      return;
    }
    stream.once("wantTrailers", () => {
      stream.sendTrailers(trailersOf(last));
      closeSoon(stream);
    });
    stream.end();
  };
  const breakOff = (code: number): void => {
    isFinished = true;
    stream.close(code);
    stream.destroy(); // a stream that is only closed would wait until the caller has taken what was written before
  };
  if (timeoutMs !== undefined) {
    keepDeadline(timeoutMs, closed, (exceeded) => {
      isLate = !isFinished;
      // who does not read would never see the status; gRPC reads this as DEADLINE_EXCEEDED once its own deadline is over
      if (writer.unsentBytes > 0) breakOff(constants.NGHTTP2_CANCEL);
      else finish(exceeded);
    });
  }
  return {
    headers,
    connection,
    read(handler, mostBytes) {
      const limits = { mostBytes, encoding: () => encodingOf(headers) };
      const reader = new MessageReader(handler, limits);
      return readMessages(stream, reader).then(async (how) => {
        await nextTurn();
        if (how === "broken" || stream.aborted) return never(); // a reset looks like the end at first
        if (!reader.isBetweenMessages)
          throw new StatusError(Code.INTERNAL, "the caller ended the stream within a message");
      });
    },
    send: (message, onSent) => writer.send(message, onSent),
    begin: (length) => writer.begin(length),
    finish,
    giveUp: () => breakOff(constants.NGHTTP2_ENHANCE_YOUR_CALM),
    broken: closed.then(() => (isFinished && !isLate ? never() : undefined)),
    closed,
  };
}

/** A caller that has not sent its last message keeps the stream open after the trailers, unless told otherwise. */
function closeSoon(stream: ServerHttp2Stream): void {
  setImmediate(() => stream.close(constants.NGHTTP2_NO_ERROR));
}

export function isGrpcCall(headers: IncomingHttpHeaders): boolean {
  return headers[":method"] === "POST" && /^application\/grpc(?:[+;]|$)/.test(headers["content-type"] ?? "");
}

/** Answers a call of a method that is not served, or what is no call at all. */
export function refuse(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
  const unknown = { code: Code.UNIMPLEMENTED, details: `unknown method ${headers[":path"]}` };
  if (isGrpcCall(headers)) refuseWith(stream, unknown);
  else answerAtOnce(stream, { ":status": 415 });
}

/** Answers a call that no method sees. */
export function refuseWith(stream: ServerHttp2Stream, status: StreamStatus): void {
  answerAtOnce(stream, { ...ANSWER, ...trailersOf(status) });
}

function answerAtOnce(stream: ServerHttp2Stream, headers: OutgoingHttpHeaders): void {
  stream.on("error", () => undefined);
  stream.respond(headers, { endStream: true });
  closeSoon(stream);
}
