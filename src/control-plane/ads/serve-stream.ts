import type { ServerDuplexStream } from "@grpc/grpc-js";
import { describeError, type Logger } from "../../base/index.ts";
import { Code } from "../../grpc/index.ts";
import type { Node } from "../../proto/gen/envoy/config/core/v3/base_pb.ts";
import type {
  DeltaDiscoveryRequest,
  DiscoveryRequest,
} from "../../proto/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { type Admission, type Refusal, refusalOf } from "./admit.ts";
import { nodeTrouble } from "./check-node.ts";
import { HEALTH_TYPE } from "./resource-types.ts";

/** A request of either form of ADS. */
export type AnyRequest = DiscoveryRequest | DeltaDiscoveryRequest;

export interface StreamOptions<Request> {
  /** Undefined serves everybody, whoever that is. */
  readonly admission: Admission | undefined;
  readonly log: Logger;
  /** Called once the caller is known; returns what takes the requests. */
  readonly begin: (node: Node) => (request: Request) => void;
}

/** Reads a stream: the first request tells the node and is checked, the others are passed on. */
export function serveStream<Request extends AnyRequest, Response>(
  call: ServerDuplexStream<Request, Response>,
  { admission, log, begin }: StreamOptions<Request>,
): void {
  let take: ((request: Request) => void) | undefined;
  const refuse = (refusal: Refusal): void => {
    log.warn("Refused a stream", { details: refusal.details });
    call.emit("error", refusal);
  };
  const admit = async (request: Request): Promise<void> => {
    const { node } = request;
    const trouble = nodeTrouble(node);
    if (node === undefined || trouble !== undefined) {
      return refuse({ code: Code.INVALID_ARGUMENT, details: trouble ?? "" });
    }
    call.pause(); // later requests wait until the caller is known
    const refusal = admission === undefined ? undefined : await refusalOf(call, node, admission);
    if (refusal !== undefined) return refuse(refusal);
    if (call.cancelled) return;
    log.info("Connected", { node: node.id });
    take = begin(node);
    take(request);
    call.resume();
  };
  const receive = async (request: Request): Promise<void> => {
    if (take !== undefined) take(request);
    else if (request.typeUrl === HEALTH_TYPE) log.warn("Ignored a health report before the first request");
    else await admit(request);
  };
  call.on("data", (request: Request) => {
    // a request that breaks us ends its own stream, not the control plane
    receive(request).catch((error: unknown) => refuse({ code: Code.INTERNAL, details: describeError(error) }));
  });
  call.once("end", () => call.end());
}
