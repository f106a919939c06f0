import type { AgentConfig } from "../../config/index.ts";
import { choosePorts } from "./choose-ports.ts";
import { takenDefaults } from "./port-map.ts";

/**
 * With `--free-ports`: other ports in place of those that nobody has set and that are taken now. What it gives lays them
 * over a configuration, also over one that is read again for a reload.
 */
export async function chooseFreePorts(config: AgentConfig): Promise<(config: AgentConfig) => AgentConfig> {
  const taken = config.flags["free-ports"] ? await takenDefaults(config) : [];
  if (taken.length === 0) return (same) => same;
  const free = await choosePorts(taken.length);
  const chosen = Object.fromEntries(taken.map((from, at) => [from, free[at]] as const));
  return ({ proxy, settings, ...rest }) =>
    Object.freeze({
      ...rest,
      proxy: {
        ...proxy,
        statusPort: chosen.statusPort ?? proxy.statusPort,
        proxyAdminPort: chosen.proxyAdminPort ?? proxy.proxyAdminPort,
      },
      settings: {
        ...settings,
        envoyStatusPort: chosen.ENVOY_STATUS_PORT ?? settings.envoyStatusPort,
        envoyPrometheusPort: chosen.ENVOY_PROMETHEUS_PORT ?? settings.envoyPrometheusPort,
      },
    });
}
