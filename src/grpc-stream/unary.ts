import { Code, type StreamStatus } from "../grpc/index.ts";
import { type ClientStreamOptions, openGrpcStream } from "./client.ts";

export interface UnaryOptions extends Omit<ClientStreamOptions, "handler" | "connectLimitMs" | "keepalive"> {
  readonly request: Uint8Array;
  /** For all of the call. */
  readonly deadlineMs: number;
}

/**
 * One question and its answer, over a connection of its own. Resolves with the answer, or with the status of a failure:
 * UNAVAILABLE where no connection stands by the deadline, DEADLINE_EXCEEDED where nobody answers on it. Rejects with the
 * signal's reason.
 */
export function callUnary(options: UnaryOptions, signal: AbortSignal): Promise<Buffer | StreamStatus> {
  const { request, deadlineMs, headers } = options;
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    let answer: Buffer | undefined;
    const call = openGrpcStream({
      ...options,
      headers: [...headers, ["grpc-timeout", `${Math.ceil(deadlineMs)}m`]],
      connectLimitMs: deadlineMs,
      handler: {
        message(bytes) {
          answer = bytes;
        },
      },
    });
    const end = (settle: () => void): void => {
      clearTimeout(limit);
      signal.removeEventListener("abort", stop);
      settle();
      call.close();
    };
    const stop = (): void => end(() => reject(signal.reason));
    const late = { code: Code.DEADLINE_EXCEEDED, details: `no answer within ${Math.ceil(deadlineMs / 100) / 10}s` };
    const isConnected = call.connected;
    const limit = setTimeout(async () => {
      if (await isConnected) end(() => resolve(late));
    }, deadlineMs);
    signal.addEventListener("abort", stop, { once: true });
    call.send(request);
    call.end();
    void call.status.then((status) =>
      end(() => resolve(status.code !== Code.OK ? status : (answer ?? { code: Code.UNKNOWN, details: "no answer" }))),
    );
  });
}
