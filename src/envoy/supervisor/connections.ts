export interface ConnectionCount {
  /** Connections of clients; -1 when Envoy gave no statistics at all. */
  readonly active: number;
  /** Lines that could not be understood. */
  readonly odd: readonly string[];
}

export const CONNECTIONS_PATH = "/stats?usedonly&filter=downstream_cx_active$";

/**
 * Adds up the open client connections in the answer of `CONNECTIONS_PATH`. Worker shares, in-process listeners, the
 * admin and the agent's own listeners (by port, whatever wildcard they are bound to) do not count.
 * Source: istio/istio pkg/envoy/agent.go (activeProxyConnections); the ports are ours, its list knows 0.0.0.0 only.
 */
export function countConnections(stats: string, ownPorts: readonly number[]): ConnectionCount {
  const lines = stats.split("\n").filter((line) => line.trim() !== "");
  if (lines.length === 0) return { active: -1, odd: [] };
  const odd: string[] = [];
  let active = 0;
  for (const line of lines) {
    const parts = line.split(":");
    const [name = "", value = ""] = parts;
    if (parts.length !== 2) odd.push(line);
    else if (isCounted(name, ownPorts)) {
      if (/^\d+$/.test(value.trim())) active += Number(value.trim());
      else odd.push(line);
    }
  }
  return { active, odd };
}

/** Adds up `downstream_rq_active` of every HTTP connection manager but the admin's, which is answering just now. */
export function countRequests(stats: string): number {
  const lines = stats.matchAll(/^http\.(?!admin\.)\S*\.?downstream_rq_active: (\d+)$/gm);
  return [...lines].reduce((sum, [, value]) => sum + Number(value), 0);
}

function isCounted(name: string, ownPorts: readonly number[]): boolean {
  if (!name.startsWith("listener.") || name.includes("worker_") || name.startsWith("listener.envoy_internal_")) {
    return false;
  }
  if (/^listener\.admin(\.main_thread)?\.downstream_cx_active$/.test(name)) return false;
  const [, port] = /^listener\.(?:0\.0\.0\.0|\[?[_:]+\]?|\[__\])_(\d+)\.downstream_cx_active$/.exec(name) ?? [];
  return port === undefined || !ownPorts.includes(Number(port));
}
