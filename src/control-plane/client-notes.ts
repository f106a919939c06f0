import type { Logger } from "../base/index.ts";
import type { Node } from "../proto/gen/envoy/config/core/v3/base_pb.ts";

/** A configuration that an Envoy refused. */
export interface Rejection {
  readonly nodeId: string;
  readonly typeUrl: string;
  readonly message: string;
}

/** What an agent told about its workload; `error` is empty while the workload is well. */
export interface HealthReport {
  readonly nodeId: string;
  readonly error: string;
}

/** What clients told us, for the log and for whoever asks later. */
export interface ClientNotes {
  readonly rejections: readonly Rejection[];
  readonly healthReports: readonly HealthReport[];
  onReject(node: Node, typeUrl: string, message: string): void;
  onHealth(node: Node, error: string): void;
}

/** Of refusals and reports each. */
const MOST_KEPT = 100;

export function createClientNotes(log: Logger, onRefusal?: (rejection: Rejection) => void): ClientNotes {
  const rejections: Rejection[] = [];
  const healthReports: HealthReport[] = [];
  return {
    rejections,
    healthReports,
    onReject({ id }, typeUrl, message) {
      log.warn("Envoy refused a configuration", { node: id, type: typeUrl, message });
      const rejection = { nodeId: id, typeUrl, message };
      keep(rejections, rejection);
      onRefusal?.(rejection);
    },
    onHealth({ id }, error) {
      log.info("Workload health", { node: id, error: error === "" ? "none" : error });
      keep(healthReports, { nodeId: id, error });
    },
  };
}

function keep<T>(list: T[], item: T): void {
  list.push(item);
  list.splice(0, list.length - MOST_KEPT);
}
