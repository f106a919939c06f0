import type { Timeline } from "../base/index.ts";
import type { AgentConfig } from "../config/index.ts";
import type { EnvoyHistory, EnvoyState, SupervisedEnvoy } from "../envoy/supervisor/index.ts";
import type { IdentityStatus } from "../identity/index.ts";
import type { NodeDescription } from "../node/index.ts";
import { VERSION } from "../version.ts";
import type { ServedIdentity } from "./serve-identity.ts";

/** What `pilotboat status` shows of a running agent. Without secrets: a certificate's facts, never its key. */
export interface AgentReport {
  readonly version: string;
  readonly pid: number;
  readonly node: string;
  readonly envoy: EnvoyState | { readonly kind: "disabled" };
  /** Absent without Envoy. */
  readonly history?: EnvoyHistory;
  /** Processes of Envoy: after a hot restart the one before drains for a while. */
  readonly envoys: number;
  readonly controlPlane: { readonly address: string; readonly state: string };
  readonly identity: IdentityStatus | undefined;
  /** Milliseconds from the start of the process to each step. */
  readonly timeline: Readonly<Record<string, number>>;
}

export interface ReportParts {
  readonly config: AgentConfig;
  readonly node: NodeDescription;
  readonly timeline: Timeline;
  readonly envoy: SupervisedEnvoy | undefined;
  readonly served: ServedIdentity | undefined;
}

export function describeAgent({ config, node, timeline, envoy, served }: ReportParts): AgentReport {
  return {
    version: VERSION,
    pid: process.pid,
    node: node.id,
    envoy: envoy?.state() ?? { kind: "disabled" },
    ...(envoy && { history: envoy.history() }),
    envoys: envoy?.count() ?? 0,
    controlPlane: { address: config.proxy.discoveryAddress, state: served?.controlPlane() ?? "starting" },
    identity: served?.identity(),
    timeline: Object.fromEntries(timeline.marks),
  };
}
