import type { AgentConfig } from "../../config/index.ts";
import type { PlannedPort } from "../ports/index.ts";
import { hasOwnDocument } from "../start-envoy/index.ts";

/** What Envoy is going to listen on. It says of a taken port only "cannot bind", and of some not even that: they are tried before. */
export function envoyPorts(config: AgentConfig): PlannedPort[] {
  const { proxy, settings } = config;
  if (settings.isEnvoyDisabled) return [];
  const everywhere = settings.isLoopbackOnly ? "on the loopback" : "on every address";
  const tried = (where: PlannedPort["tried"]) => (hasOwnDocument(config) ? where : undefined);
  const rows = [
    [proxy.proxyAdminPort, "Envoy's admin", "proxyAdminPort"],
    [settings.envoyStatusPort, "Envoy's health", "ENVOY_STATUS_PORT"],
    [settings.envoyPrometheusPort, "Envoy's metrics", "ENVOY_PROMETHEUS_PORT"],
    [settings.secureMetricsPort, "Envoy's metrics with TLS", "ENVOY_SECURE_METRICS_PORT"],
    [settings.secureMergedMetricsPort, "merged metrics with TLS", "ENVOY_SECURE_MERGED_METRICS_PORT"],
  ] as const;
  return rows.map(([port, use, from]) => ({
    ...{ port, use, from },
    tried: tried(from === "proxyAdminPort" ? "on the loopback" : everywhere),
  }));
}
