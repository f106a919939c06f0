import { oneLine } from "../base/index.ts";
import type { CauseKind } from "./readiness-board.ts";

const UPDATE_STATS = "^(cluster_manager\\.cds|listener_manager\\.lds)\\.(update_success|update_rejected)$";

/** Stats that tell whether Envoy has its first configuration. Source: istio/istio pilot/cmd/pilot-agent/status/util/stats.go. */
export const UPDATE_STATS_PATH = statsPath(UPDATE_STATS);
/** The same, also those that still are 0: what is not there at all is not subscribed to. */
export const ALL_UPDATE_STATS_PATH = UPDATE_STATS_PATH.replace("usedonly&", "");
/** Stats that tell whether Envoy is live and its workers run. */
export const READY_STATS_PATH = statsPath("^(server\\.state|listener_manager\\.workers_started)");

const SERVER_STATES: Readonly<Record<number, string>> = { 1: "DRAINING", 2: "PRE_INITIALIZING", 3: "INITIALIZING" };

/**
 * Why Envoy lacks configuration, or undefined once it has accepted clusters and listeners. `isStatic`: what has no counter
 * is not awaited. `refused`: what is known of a refusal: then whether istiod runs is no question. Throws on unreadable stats.
 */
export function missingConfig(body: string, isStatic = false, refused?: CauseKind): string | undefined {
  const stat = (name: string): number => readStat(body, name) ?? (isStatic && name.endsWith("_success") ? 1 : 0);
  const cds = {
    accepted: stat("cluster_manager.cds.update_success"),
    rejected: stat("cluster_manager.cds.update_rejected"),
  };
  const lds = {
    accepted: stat("listener_manager.lds.update_success"),
    rejected: stat("listener_manager.lds.update_rejected"),
  };
  if (cds.accepted > 0 && lds.accepted > 0) return undefined;
  const counters =
    `cds updates: ${cds.accepted} successful, ${cds.rejected} rejected; ` +
    `lds updates: ${lds.accepted} successful, ${lds.rejected} rejected`;
  if (refused === "nack" || refused === "listener") {
    return `config received from XDS server, but was rejected: ${counters}`;
  }
  if (refused !== undefined) return `config not received from XDS server: ${counters}`;
  if (cds.accepted === 0 && lds.accepted === 0) {
    return `config not received from XDS server (is Istiod running?): ${counters}`;
  }
  if (cds.rejected > 0 || lds.rejected > 0) return `config received from XDS server, but was rejected: ${counters}`;
  return `config not fully received from XDS server: ${counters}`;
}

/** Why Envoy does not serve yet, or undefined once it does. Throws on unreadable stats. */
export function missingLiveness(body: string): string | undefined {
  const state = readStat(body, "server.state");
  if (state === undefined) return notReadyStats(`server.state is not yet updated: ${oneLine(body, "; ")}`);
  if (state !== 0) return `server is not live, current state is: ${SERVER_STATES[state] ?? "UNKNOWN"}`;
  const workers = readStat(body, "listener_manager.workers_started");
  if (workers === undefined) {
    return notReadyStats(`listener_manager.workers_started is not yet updated: ${oneLine(body, "; ")}`);
  }
  return workers === 1 ? undefined : "workers have not yet started";
}

/** The reason when the readiness stats could not be had or understood. */
export function notReadyStats(reason: string): string {
  return `failed to get readiness stats: ${reason}`;
}

/** The value of the first line that begins with `name`, or undefined. Throws when it is not `name: <unsigned integer>`. */
function readStat(body: string, name: string): number | undefined {
  const line = body.split("\n").find((candidate) => candidate.startsWith(name));
  if (line === undefined) return undefined;
  const parts = line.split(":");
  const value = parts[1]?.trim() ?? "";
  if (parts.length !== 2 || !/^\d+$/.test(value)) {
    throw new Error(`cannot read stat "${name}" from "${line}", expected an unsigned integer`);
  }
  return Number(value);
}

function statsPath(filter: string): string {
  return `/stats?usedonly&filter=${encodeURIComponent(filter)}`;
}
