import type { History } from "./history.ts";
import type { Topology } from "./read-topology.ts";
import type { ServerFigures, Traffic } from "./read-traffic.ts";

/** What is known of Envoy while somebody looks. */
export interface View {
  readonly topology: Topology | undefined;
  readonly traffic: Traffic | undefined;
  readonly server: ServerFigures | undefined;
  readonly history: History;
  /** Why the latest is not known; what is older stays. */
  readonly problem: string | undefined;
}
