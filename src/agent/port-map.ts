import { AgentError } from "../base/index.ts";
import type { AgentConfig } from "../config/index.ts";

interface PlannedPort {
  readonly port: number;
  readonly use: string;
  /** Who sets it. */
  readonly from: string;
}

/** `15000 Envoy's admin, 15020 status, ...`: who is going to listen where. Throws CONFIG_INVALID for a port with two uses. */
export function describePorts(config: AgentConfig): string {
  const ports = planPorts(config);
  for (const [at, { port, use, from }] of ports.entries()) {
    const other = ports.slice(0, at).find((earlier) => earlier.port === port);
    if (other === undefined) continue;
    const text = `Cannot use port ${port} twice, for ${other.use} (${other.from}) and for ${use} (${from})`;
    throw new AgentError("CONFIG_INVALID", text, { hint: "Give one of them another port" });
  }
  return ports.map(({ port, use }) => `${port} ${use}`).join(", ");
}

function planPorts({ proxy, settings }: AgentConfig): PlannedPort[] {
  const agent = [{ port: proxy.statusPort, use: "status", from: "statusPort" }];
  const envoy = [
    { port: proxy.proxyAdminPort, use: "Envoy's admin", from: "proxyAdminPort" },
    { port: settings.envoyStatusPort, use: "Envoy's health", from: "ENVOY_STATUS_PORT" },
    { port: settings.envoyPrometheusPort, use: "Envoy's metrics", from: "ENVOY_PROMETHEUS_PORT" },
    { port: settings.secureMetricsPort, use: "Envoy's metrics with TLS", from: "ENVOY_SECURE_METRICS_PORT" },
    {
      port: settings.secureMergedMetricsPort,
      use: "merged metrics with TLS",
      from: "ENVOY_SECURE_MERGED_METRICS_PORT",
    },
  ];
  return [...agent, ...(settings.isEnvoyDisabled ? [] : envoy)].filter(({ port }) => port > 0);
}
