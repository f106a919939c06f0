import type { AgentConfig } from "../../config/index.ts";
import type { FoundEnvoy } from "../../envoy/binary/index.ts";
import type { EnvoyHistory, EnvoyState, SupervisedEnvoy } from "../../envoy/supervisor/index.ts";
import { type Host, residentBytes } from "../../host/index.ts";
import type { NodeDescription } from "../../node/index.ts";

/** The rows of the report about Envoy. */
export interface EnvoyReport {
  readonly envoy: EnvoyState | { readonly kind: "disabled" };
  /** Of the executable, for example `1.38.3`; absent where it does not tell, or without Envoy. */
  readonly envoyVersion?: string;
  /** Physical memory of the Envoy that serves, in bytes; absent where the system does not tell. */
  readonly envoyResidentBytes?: number;
  /** Absent without Envoy. */
  readonly history?: EnvoyHistory;
  /** Processes of Envoy: after a hot restart the previous one drains for a while. */
  readonly envoys: number;
  /** How long those may still drain, at most. */
  readonly drainLeftSeconds: number;
  /** Where Envoy's own listeners are, `host:port`; absent without Envoy. */
  readonly envoyAddresses?: { readonly admin: string; readonly health: string };
}

export interface ReportFacts {
  /** Of the executable. */
  readonly version: string | undefined;
  readonly addresses: EnvoyReport["envoyAddresses"];
}

/** The rows as of now. Never rejects. */
export async function reportEnvoy(envoy: SupervisedEnvoy, { version, addresses }: ReportFacts): Promise<EnvoyReport> {
  const pid = envoy.pid();
  const resident = pid === undefined ? undefined : await residentBytes(pid);
  return {
    envoy: envoy.state(),
    ...(version === undefined ? {} : { envoyVersion: version }),
    ...(resident === undefined ? {} : { envoyResidentBytes: resident }),
    history: envoy.history(),
    envoys: envoy.count(),
    drainLeftSeconds: Math.ceil(envoy.drainLeftMs() / 1_000),
    ...(addresses === undefined ? {} : { envoyAddresses: addresses }),
  };
}

/** Runs the executable where looking for it has not told its version. */
export async function askVersionOf(binary: FoundEnvoy | undefined, env: Host["env"]): Promise<string | undefined> {
  if (binary === undefined || binary.version !== undefined) return binary?.version;
  const { askVersion } = await import("../../envoy/binary/index.ts");
  return askVersion(binary.path, env);
}

/** Where Envoy's admin and health listen, `host:port`, IPv6 in brackets. */
export function envoyAddresses(
  { proxy, settings }: AgentConfig,
  node: NodeDescription,
): NonNullable<EnvoyReport["envoyAddresses"]> {
  const { localhost } = node.family;
  const at = (port: number): string => `${localhost.includes(":") ? `[${localhost}]` : localhost}:${port}`;
  return { admin: at(proxy.proxyAdminPort), health: at(settings.envoyStatusPort) };
}
