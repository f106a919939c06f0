import type { Logger } from "../../base/index.ts";
import { Code, StatusError, statusOf } from "../../grpc/index.ts";
import type { Node } from "../../proto/gen/envoy/config/core/v3/base_pb.ts";
import type {
  DeltaDiscoveryRequest,
  DiscoveryRequest,
} from "../../proto/gen/envoy/service/discovery/v3/discovery_pb.ts";
import type { MessageCall } from "../calls/serve-calls.ts";
import { type Admission, refusalOf } from "./admit.ts";
import { nodeTrouble } from "./check-node.ts";
import { HEALTH_TYPE } from "./resource-types.ts";

/** A request of either form of ADS. */
export type AnyRequest = DiscoveryRequest | DeltaDiscoveryRequest;

export interface StreamOptions<Request> {
  /** Undefined serves everybody, whoever that is. */
  readonly admission: Admission | undefined;
  readonly log: Logger;
  /** Called once the caller is known; returns what takes the requests, where a promise asks to wait with the next. */
  readonly begin: (node: Node) => (request: Request) => Promise<void> | void;
}

/**
 * Reads a stream until its caller ends it: the first request tells the node and is checked, the others are passed on.
 * Rejects with the status of a refusal.
 */
export async function serveStream<Request extends AnyRequest, Response>(
  call: MessageCall<Request, Response>,
  { admission, log, begin }: StreamOptions<Request>,
): Promise<void> {
  let take: ((request: Request) => Promise<void> | void) | undefined;
  let isOver = false;
  void call.closed.then(() => {
    isOver = true;
  });
  const admit = async (request: Request): Promise<void> => {
    const { node } = request;
    const trouble = nodeTrouble(node);
    if (node === undefined || trouble !== undefined) throw new StatusError(Code.INVALID_ARGUMENT, trouble ?? "");
    const refusal = admission === undefined ? undefined : await refusalOf(call, node, admission);
    if (refusal !== undefined) throw new StatusError(refusal.code, refusal.details);
    if (isOver) return;
    log.info("Connected", { node: node.id });
    take = begin(node);
    await take(request);
  };
  try {
    await call.read((request) => {
      if (take !== undefined) return take(request);
      if (request.typeUrl !== HEALTH_TYPE) return admit(request); // later requests wait until the caller is known
      log.warn("Ignored a health report before the first request");
    });
  } catch (error) {
    log.warn("Refused a stream", { details: statusOf(error).details });
    throw error; // which ends this stream, not the control plane
  }
}
