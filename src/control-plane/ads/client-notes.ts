import type { Logger } from "../../base/index.ts";
import type { Node } from "../../proto/gen/envoy/config/core/v3/base_pb.ts";

/** A configuration that an Envoy refused. */
export interface Rejection {
  readonly nodeId: string;
  readonly typeUrl: string;
  readonly message: string;
}

/** An agent's report on its workload; `error` is empty while the workload is healthy. */
export interface HealthReport {
  readonly nodeId: string;
  readonly error: string;
}

/** What clients reported, for the log and for later questions. */
export interface ClientNotes {
  readonly rejections: readonly Rejection[];
  readonly healthReports: readonly HealthReport[];
  onReject(node: Node, typeUrl: string, message: string): void;
  onHealth(node: Node, error: string): void;
}

/** Of refusals and reports each. */
const MOST_KEPT = 100;
/** Of one message: a request may have megabytes, and Envoy's quotes whole resources. */
const MOST_CHARACTERS = 4_096;
const MOST_TYPE_CHARACTERS = 256;

export function createClientNotes(log: Logger, onRefusal?: (rejection: Rejection) => void): ClientNotes {
  const rejections: Rejection[] = [];
  const healthReports: HealthReport[] = [];
  return {
    rejections,
    healthReports,
    onReject({ id }, refusedType, told) {
      const [typeUrl, message] = [shorten(refusedType, MOST_TYPE_CHARACTERS), shorten(told, MOST_CHARACTERS)];
      log.warn("Envoy refused a configuration", { node: id, type: typeUrl, message });
      const rejection = { nodeId: id, typeUrl, message };
      keep(rejections, rejection);
      onRefusal?.(rejection);
    },
    onHealth({ id }, told) {
      const error = shorten(told, MOST_CHARACTERS);
      log.info("Workload health", { node: id, error: error === "" ? "none" : error });
      keep(healthReports, { nodeId: id, error });
    },
  };
}

function shorten(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most)}… (${text.length - most} more characters)`;
}

function keep<T>(list: T[], item: T): void {
  list.push(item);
  list.splice(0, list.length - MOST_KEPT);
}
