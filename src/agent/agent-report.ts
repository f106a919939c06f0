import type { Timeline } from "../base/index.ts";
import type { AgentConfig } from "../config/index.ts";
import type { EnvoyHistory, EnvoyState, SupervisedEnvoy } from "../envoy/supervisor/index.ts";
import type { IdentityStatus } from "../identity/index.ts";
import type { NodeDescription } from "../node/index.ts";
import { VERSION } from "../version.ts";
import type { LeftOut, SubstitutedWasm } from "../xds/index.ts";
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
  /** How long those may still drain, at most. */
  readonly drainLeftSeconds: number;
  /** Where Envoy's own listeners are, `host:port`; absent without Envoy. */
  readonly envoyAddresses?: { readonly admin: string; readonly health: string };
  readonly controlPlane: { readonly address: string; readonly state: string };
  /** Filters that this Envoy does not have, and was sent its configuration without. */
  readonly leftOut: readonly LeftOut[];
  /** Remote Wasm modules that Envoy goes without, and what is in their place. */
  readonly substitutedWasm: readonly SubstitutedWasm[];
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
    drainLeftSeconds: Math.ceil((envoy?.drainLeftMs() ?? 0) / 1_000),
    ...(envoy === undefined ? {} : { envoyAddresses: envoyAddresses(config, node) }),
    controlPlane: { address: config.proxy.discoveryAddress, state: served?.controlPlane() ?? "starting" },
    leftOut: served?.leftOut() ?? [],
    substitutedWasm: served?.substitutedWasm() ?? [],
    identity: served?.identity(),
    timeline: Object.fromEntries(timeline.marks),
  };
}

/** One line for people. */
export function describeLeftOut({ filter, type, lost }: LeftOut): string {
  return `left out, because this Envoy does not have it: "${filter}" (${type}); lost: ${lost}`;
}

/** One line for people. */
export function describeWasm({ name, consequence }: SubstitutedWasm): string {
  return `without its Wasm module, which this version does not fetch: "${name}"; ${consequence}`;
}

function envoyAddresses({ proxy, settings }: AgentConfig, node: NodeDescription) {
  const { localhost } = node.family;
  const at = (port: number): string => `${localhost.includes(":") ? `[${localhost}]` : localhost}:${port}`;
  return { admin: at(proxy.proxyAdminPort), health: at(settings.envoyStatusPort) };
}
