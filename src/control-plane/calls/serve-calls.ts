import { type DescMessage, type DescMethod, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { describeError } from "../../base/index.ts";
import { Code, StatusError, statusOf } from "../../grpc/index.ts";
import type { ServerStream } from "../../grpc-stream/index.ts";

/** A call whose messages are protobuf's. */
export interface MessageCall<Request, Response>
  extends Pick<ServerStream, "headers" | "connection" | "finish" | "closed"> {
  /** As `ServerStream.read`. A message that is none rejects with INTERNAL. */
  read(take: (request: Request) => Promise<void> | void): Promise<void>;
  send(response: Response): Promise<void> | void;
}

/** Methods by path, as a server takes them. */
export type Methods = Readonly<Record<string, (stream: ServerStream) => void>>;

type Typed<I extends DescMessage, O extends DescMessage> = DescMethod & { readonly input: I; readonly output: O };

/** Source: istio/istio pilot/pkg/features (ISTIO_GPRC_MAXRECVMSGSIZE). */
const MOST_REQUEST_BYTES = 4 * 2 ** 20;

/**
 * A streaming method. The call ends with OK once `serve` resolves, or with the status of what it rejects with. `at`: the
 * method whose path it has, of the same messages under other names.
 */
export function streaming<I extends DescMessage, O extends DescMessage>(
  method: Typed<I, O>,
  serve: (call: MessageCall<MessageShape<I>, MessageShape<O>>) => Promise<void>,
  at: DescMethod = method,
): Methods {
  return {
    [`/${at.parent.typeName}/${at.name}`](stream) {
      serve(messageCall(method, stream)).then(
        () => stream.finish({ code: Code.OK, details: "" }),
        (error) => stream.finish(statusOf(error)),
      );
    },
  };
}

/** A method of one request and one response. Any other number of requests is UNIMPLEMENTED: grpc/grpc doc/statuscodes.md. */
export function unary<I extends DescMessage, O extends DescMessage>(
  method: Typed<I, O>,
  answer: (request: MessageShape<I>, call: Pick<ServerStream, "headers" | "connection">) => Promise<MessageShape<O>>,
): Methods {
  return streaming(method, async (call) => {
    const requests: MessageShape<I>[] = [];
    await call.read((request) => {
      if (requests.push(request) > 1) throw new StatusError(Code.UNIMPLEMENTED, `${method.name} takes one request`);
    });
    const [request] = requests;
    if (request === undefined) throw new StatusError(Code.UNIMPLEMENTED, `${method.name} takes a request`);
    void call.send(await answer(request, call));
  });
}

function messageCall<I extends DescMessage, O extends DescMessage>(
  { input, output }: Typed<I, O>,
  stream: ServerStream,
): MessageCall<MessageShape<I>, MessageShape<O>> {
  return {
    headers: stream.headers,
    connection: stream.connection,
    closed: stream.closed,
    finish: (status) => stream.finish(status),
    read: (take) => stream.read({ message: (bytes) => take(decode(input, bytes)) }, MOST_REQUEST_BYTES),
    send: (response) => stream.send(toBinary(output, response)),
  };
}

function decode<I extends DescMessage>(schema: I, bytes: Buffer): MessageShape<I> {
  try {
    return fromBinary(schema, bytes);
  } catch (error) {
    throw new StatusError(Code.INTERNAL, `the message is no ${schema.typeName}: ${describeError(error)}`, error);
  }
}
