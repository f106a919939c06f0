import { AgentError, type BoundSocket, bindTcp, connectionLimit, type Lifetime } from "../../base/index.ts";
import { type AgentConfig, LOG_SCOPES, parseLogLevels } from "../../config/index.ts";
import { argumentsOf, type Runtime, thisRuntime } from "../../host/index.ts";
import type { NodeDescription } from "../../node/index.ts";
import type { ReadinessBoard, ReadinessReport } from "../../status/index.ts";
import type { ScrapeTarget } from "../../status/targets/index.ts";
import { VERSION } from "../../version.ts";
import { type PlannedPort, statusPortTaken } from "../ports/index.ts";
import type { ClaimedFolder } from "../run-folder/index.ts";
import type { Part, Serving, Surroundings } from "./part.ts";

/** The status port: readiness, metrics, and the pages of all parts. A status port of 0 means none. */
export class StatusPart implements Part {
  readonly #around: Surroundings;
  readonly #parts: () => readonly Part[];
  #socket: BoundSocket | undefined;
  #targets: readonly ScrapeTarget[] = [];

  constructor(around: Surroundings, parts: () => readonly Part[]) {
    this.#around = around;
    this.#parts = parts;
  }

  /** Undefined without a status server. */
  get port(): number | undefined {
    return this.#socket?.port;
  }

  lasting({ proxy, settings, flags }: AgentConfig): Record<string, unknown> {
    return {
      port: proxy.statusPort,
      isLoopbackOnly: settings.isLoopbackOnly,
      areMetricsLocal: settings.isMetricsLocalOnly,
      envoyStats: envoyStats({ settings }),
      scrapeTargets: settings.prometheusAnnotations,
      hasProfiles: flags.profiling,
    };
  }

  /** Rejects with CONFIG_INVALID, ADDRESS_IN_USE or ADDRESS_UNUSABLE. Source: istio/istio pilot/cmd/pilot-agent/app/cmd.go. */
  async bind(life: Lifetime, folder: Promise<ClaimedFolder>): Promise<void> {
    await this.#readTargets();
    const claimed = await folder;
    if (this.#around.config.proxy.statusPort > 0) this.#socket = await life.own("status port", this.#listen());
    claimed.noteStatus(this.#socket ?? { port: 0 });
  }

  /** Only sidecars have an application. */
  async #readTargets(): Promise<void> {
    const { role, settings, proxy } = this.#around.config;
    if (role !== "sidecar" || settings.prometheusAnnotations === "") return;
    const { parseScrapeTargets } = await import("../../status/targets/index.ts");
    this.#targets = parseScrapeTargets(settings.prometheusAnnotations, proxy.statusPort);
  }

  /** On every address, or the loopback. Machines may be without IPv6, or without IPv4; a taken port stays taken. */
  async #listen(): Promise<BoundSocket> {
    const { config, ports } = this.#around;
    const { proxy, settings } = config;
    const [first, second] = settings.isLoopbackOnly ? ["127.0.0.1", "::1"] : ["::", "0.0.0.0"];
    try {
      return await bindTcp(first, proxy.statusPort, { limit: connectionLimit() });
    } catch (error) {
      if (error instanceof AgentError && error.code === "ADDRESS_IN_USE") throw await statusPortTaken(ports, error);
      return bindTcp(second, proxy.statusPort, { limit: connectionLimit() });
    }
  }

  async serve({ life, node, readiness }: Serving): Promise<void> {
    const socket = this.#socket;
    if (socket === undefined) return;
    const { config, context, metrics, timeline, stop } = this.#around;
    const { jsonRoute, loggingRoute, metricsRoutes, profileRoute, readyRoute, serveStatus } = await import(
      "../../status/index.ts"
    );
    const { levels } = context.log;
    const parts = this.#parts();
    const report = async (): Promise<object> => {
      const [frame, ...rows] = await Promise.all([
        this.#frame(node, readiness),
        ...parts.map((part) => part.report?.()),
      ]);
      return { ...frame, ...Object.assign({}, ...rows), timeline: Object.fromEntries(timeline.marks) };
    };
    const stats = envoyStats(config);
    const routes = [
      readyRoute(readiness, () => parts.flatMap((part) => part.notes?.() ?? [])),
      ...metricsRoutes({
        metrics,
        log: context.log,
        envoyStats: stats && { host: node.family.localhost, ...stats },
        targets: this.#targets,
        areLocalOnly: config.settings.isMetricsLocalOnly,
      }),
      jsonRoute("/debug/agent", report),
      ...(levels === undefined
        ? []
        : [loggingRoute({ levels, scopes: LOG_SCOPES, parse: parseLogLevels, log: context.log, stop })]),
      ...(config.flags.profiling ? [profileRoute(() => commandLine(config))] : []),
      ...(await Promise.all(parts.map((part) => part.routes?.({ report, readiness }) ?? []))).flat(),
    ];
    await life.own("status", serveStatus({ socket, routes, log: context.log }, stop));
  }

  async #frame(node: NodeDescription, board: ReadinessBoard): Promise<Omit<ReportFrame, "timeline">> {
    const { describeReadiness } = await import("../../status/index.ts");
    const readiness = await board.look();
    return {
      version: VERSION,
      runtime: thisRuntime(),
      pid: process.pid,
      startedMs: Math.round(performance.timeOrigin),
      residentBytes: process.memoryUsage.rss(),
      role: this.#around.config.role,
      node: node.id,
      ports: this.#around.ports.map(({ port, use, from }) => ({ port, use, from })),
      readiness: describeReadiness(readiness, Date.now()),
    };
  }
}

/** What every report begins with, and ends with. */
export interface ReportFrame {
  /** Of pilotboat. */
  readonly version: string;
  readonly runtime: Runtime;
  readonly pid: number;
  /** When the agent started, in milliseconds since the epoch. */
  readonly startedMs: number;
  /** Physical memory of the agent alone, in bytes. */
  readonly residentBytes: number;
  /** `sidecar`, `router`, ... */
  readonly role: string;
  readonly node: string;
  /** Where agent and Envoy listen; `from` is what sets the port, a field of ProxyConfig or a variable. */
  readonly ports: readonly { readonly port: number; readonly use: string; readonly from: string }[];
  readonly readiness: ReadinessReport;
  /** Milliseconds from the start of the process to each step. */
  readonly timeline: Readonly<Record<string, number>>;
}

export function statusPorts({ proxy }: AgentConfig): PlannedPort[] {
  return [{ port: proxy.statusPort, use: "status", from: "statusPort", tried: "by binding" }];
}

/** Of this process, as far as the system shows it. */
async function commandLine({ role }: AgentConfig): Promise<readonly string[]> {
  const words = await argumentsOf(process.pid);
  return words.length > 0 ? words : ["pilotboat", "proxy", role];
}

/** Where Envoy gives its statistics for the merged scrape; undefined leaves them out. */
function envoyStats({ settings }: Pick<AgentConfig, "settings">): { readonly port: number } | undefined {
  if (settings.isEnvoyDisabled || !settings.isEnvoyStatsMerged) return undefined;
  return { port: settings.envoyPrometheusPort };
}
