import { textOf } from "../proto/wire.ts";

const TYPE_PREFIX = "type.googleapis.com/";

/** Istio's name table, by which the agent answers DNS. */
const NAME_TABLE = `${TYPE_PREFIX}istio.networking.nds.v1.NameTable`;
const WORKLOAD = `${TYPE_PREFIX}istio.workload.Workload`;

/** Envoy cannot serve without these. */
export const REQUIRED_TYPES: readonly string[] = [
  `${TYPE_PREFIX}envoy.config.cluster.v3.Cluster`,
  `${TYPE_PREFIX}envoy.config.listener.v3.Listener`,
];

/** An envelope around another resource, which whole states may use. */
export const WRAPPER = `${TYPE_PREFIX}envoy.service.discovery.v3.Resource`;

/** Envoy asks for these by prefixes, as VHDS has it, which nobody answers in the control plane's place. */
const VIRTUAL_HOST = `${TYPE_PREFIX}envoy.config.route.v3.VirtualHost`;
export const ROUTES = `${TYPE_PREFIX}envoy.config.route.v3.RouteConfiguration`;

/** What Envoy is configured with, except secrets, and the agent's name table. Trust anchors (PCDS) always come from the control plane itself. */
export function isKept(typeUrl: string): boolean {
  if (typeUrl === NAME_TABLE || typeUrl === WORKLOAD) return true;
  if (typeUrl === WRAPPER || typeUrl === VIRTUAL_HOST) return false;
  return typeUrl.startsWith(`${TYPE_PREFIX}envoy.`) && !typeUrl.endsWith(".Secret");
}

/** Envoy's configuration is whole without it: what the agent itself asks for, and names for telemetry. */
export function isDispensable(typeUrl: string): boolean {
  return typeUrl === NAME_TABLE || typeUrl === WORKLOAD;
}

/** The name of a resource that came without one, as in whole states: Envoy's types have it in their first field, others have none. */
export function nameOf(typeUrl: string, value: Uint8Array): string {
  return typeUrl.startsWith(`${TYPE_PREFIX}envoy.`) ? textOf(value, 1) : "";
}
