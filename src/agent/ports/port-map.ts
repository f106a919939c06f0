import { AgentError, tryTcp } from "../../base/index.ts";
import type { AgentConfig } from "../../config/index.ts";
import { portHolders } from "../../host/index.ts";
import { hasOwnDocument } from "../start-envoy/options.ts";

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
 * Envoys can share one unnoticed. Rejects with ADDRESS_IN_USE, naming all that are taken, who has them and who sets them,
 * or with ADDRESS_UNUSABLE.
 */
export async function tryEnvoyPorts(config: AgentConfig, localhost: string): Promise<void> {
  const taken = await takenEnvoyPorts(config, localhost);
  if (taken.length > 0) throw await describeTaken(taken);
}

/** The failure to bind the status port, with what else is taken. */
export async function statusPortTaken(config: AgentConfig, error: AgentError): Promise<AgentError> {
  const status = { port: config.proxy.statusPort, use: "status", from: "statusPort", error };
  return describeTaken([status, ...(await takenEnvoyPorts(config, "127.0.0.1"))]);
}

/** Ports that nobody has set and that are taken: from where they come. */
export async function takenDefaults(config: AgentConfig): Promise<readonly string[]> {
  const taken = await takenEnvoyPorts(config, "127.0.0.1");
  const status = await tryPort("::", { port: config.proxy.statusPort, use: "status", from: "statusPort" });
  return [...status, ...taken].map(({ from }) => from).filter((from) => !config.origins.has(from));
}

interface TakenPort extends PlannedPort {
  readonly error: AgentError;
}

async function takenEnvoyPorts(config: AgentConfig, localhost: string): Promise<TakenPort[]> {
  if (config.settings.isEnvoyDisabled || !hasOwnDocument(config)) return [];
  const others = config.settings.isLoopbackOnly ? localhost : "0.0.0.0";
  const host = (from: string): string => (from === "proxyAdminPort" ? localhost : others);
  const ports = planPorts(config).filter(({ from }) => from !== "statusPort");
  return (await Promise.all(ports.map((one) => tryPort(host(one.from), one)))).flat();
}

async function tryPort(host: string, planned: PlannedPort): Promise<TakenPort[]> {
  try {
    await tryTcp(host, planned.port);
    return [];
  } catch (error) {
    if (error instanceof AgentError && error.code === "ADDRESS_IN_USE") return [{ ...planned, error }];
    if (planned.from === "statusPort") return []; // no IPv6 here: binding it tells
    throw error;
  }
}

async function describeTaken(taken: readonly TakenPort[]): Promise<AgentError> {
  const holders = await portHolders(taken.map(({ port }) => port));
  const lines = taken.map(({ port, use, error }) => {
    const who = (holders.get(port) ?? []).map(({ pid, program }) => `${program} (pid ${pid})`).join(" and ");
    return `${who === "" ? error.message : error.message.replace("another process", who)}, for ${use}`;
  });
  const [first = "", ...more] = lines.map((line, at) => (at === 0 ? line : line.replace("Cannot listen on ", "")));
  return new AgentError("ADDRESS_IN_USE", [first, ...more].join("; "), {
    hint: `End what listens there, choose others with --free-ports, or set ${settersOf(taken)}`,
    cause: taken[0]?.error.cause,
  });
}

function settersOf(taken: readonly TakenPort[]): string {
  const isVariable = (from: string): boolean => /^[A-Z_]+$/.test(from);
  const names = taken.map(({ from }) => from);
  const fields = names.filter((from) => !isVariable(from));
  const inProxyConfig = fields.length === 0 ? [] : [`${fields.join(" and ")} in PROXY_CONFIG`];
  return [...names.filter(isVariable), ...inProxyConfig].join(" and ");
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
