import type { AgentConfig } from "../../config/index.ts";
import type { HealthCheck, WorkloadHealth } from "../../health/index.ts";
import { findSetpriv } from "../../host/index.ts";
import { probeTrouble } from "../../istio/mesh/index.ts";
import type { NodeDescription } from "../../node/index.ts";
import type { EnvoyPart } from "./envoy.ts";
import type { Part, Serving, Surroundings } from "./part.ts";
import type { XdsPart } from "./xds.ts";

/** Its rows of the report; without a usable `readinessProbe` there are none. */
export interface HealthReport {
  readonly health?: WorkloadHealth;
}

export interface HealthNeeds {
  readonly envoy: EnvoyPart;
  readonly xds: XdsPart;
}

/** Asks a workload on a virtual machine for its health, and tells the control plane. */
export class HealthPart implements Part {
  readonly #around: Surroundings;
  readonly #needs: HealthNeeds;
  #check: HealthCheck | undefined;

  constructor(around: Surroundings, needs: HealthNeeds) {
    this.#around = around;
    this.#needs = needs;
  }

  lasting({ proxy, settings }: AgentConfig): Record<string, unknown> {
    return { readinessProbe: proxy.readinessProbe, isProbingLocalhost: settings.isProbingLocalhost };
  }

  async serve({ life, node }: Serving): Promise<void> {
    const { config, context, metrics } = this.#around;
    const { readinessProbe } = config.proxy;
    if (readinessProbe === undefined || probeTrouble(readinessProbe) !== undefined) return;
    const { readProbe, startHealthCheck } = await import("../../health/index.ts");
    const check = startHealthCheck({
      probe: readProbe(readinessProbe),
      workload: await this.#workload(node),
      report: (reason) =>
        this.#needs.xds.announce({ typeUrl: HEALTH_TYPE, ...(reason === undefined ? {} : { rejection: reason }) }),
      log: context.log,
      metrics,
    });
    this.#check = await life.own("health check", check);
  }

  async #workload(node: NodeDescription) {
    const { config, context } = this.#around;
    const { envoy } = this.#needs;
    const { env } = context.host;
    const addresses = (node.typed.INSTANCE_IPS ?? []) as readonly string[];
    return {
      ...{ env, cwd: config.cwd, setpriv: await findSetpriv(env.PATH) },
      defaultHost: (config.settings.isProbingLocalhost ? undefined : addresses[0]) ?? "localhost",
      source: process.platform === "linux" ? (node.family.localhost === "::1" ? "::6" : "127.0.0.6") : undefined,
      ...(config.settings.isEnvoyDisabled ? {} : { whyEnvoyNotReady: () => envoy.whyNotReady() }),
    };
  }

  report(): HealthReport {
    return this.#check === undefined ? {} : { health: this.#check.health() };
  }

  notes(): readonly string[] {
    const health = this.#check?.health();
    if (health?.state !== "unhealthy") return [];
    return [`the workload is reported unhealthy: ${health.lastError?.text} (${health.probe})`];
  }
}

/** Source: istio/istio pkg/model/xds.go. */
const HEALTH_TYPE = "type.googleapis.com/istio.v1.HealthInformation";
