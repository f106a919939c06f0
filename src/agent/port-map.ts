import { AgentError, tryTcp } from "../base/index.ts";
import type { AgentConfig } from "../config/index.ts";
import { hasOwnDocument } from "./room-options.ts";

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

/**
 * Tries what Envoy is going to listen on, because Envoy only says "cannot bind", and of some ports not even that: two
 * Envoys can share one unnoticed. Rejects with ADDRESS_IN_USE, naming who sets the port.
 */
export async function tryEnvoyPorts(config: AgentConfig, localhost: string): Promise<void> {
  if (config.settings.isEnvoyDisabled || !hasOwnDocument(config)) return;
  const others = config.settings.isLoopbackOnly ? localhost : "0.0.0.0";
  const host = (from: string): string => (from === "proxyAdminPort" ? localhost : others);
  const ports = planPorts(config).filter(({ from }) => from !== "statusPort");
  await Promise.all(ports.map(({ port, use, from }) => tryPort(host(from), port, use, from)));
}

async function tryPort(host: string, port: number, use: string, from: string): Promise<void> {
  try {
    await tryTcp(host, port);
  } catch (error) {
    throw portTaken(error, use, from);
  }
}

/** The same failure, with what to do about it. */
export function portTaken(error: unknown, use: string, from: string): unknown {
  if (!(error instanceof AgentError) || error.code !== "ADDRESS_IN_USE") return error;
  const where = /^[A-Z_]+$/.test(from) ? from : `${from} in PROXY_CONFIG`;
  return new AgentError("ADDRESS_IN_USE", `${error.message}, for ${use}`, {
    hint: `End what listens there, or set ${where} to another port`,
    cause: error.cause,
  });
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
