import { readFile } from "node:fs/promises";
import { AgentError, connectionLimit, describeError, type Lifetime } from "../../base/index.ts";
import type { AgentConfig } from "../../config/index.ts";
import type { DnsServer } from "../../dns/index.ts";
import type { NodeDescription } from "../../node/index.ts";
import type { Cause, ReadinessCheck, Route } from "../../status/index.ts";
import type { Part, Serving, Surroundings } from "./part.ts";

/** Its rows of the report; without a server there are none. */
export interface DnsReport {
  readonly dns?: { readonly addresses: readonly string[]; readonly names: number };
}

/** Istio's words, which people search for. */
const NOT_READY = "istio DNS capture is turned ON and DNS lookup table is not ready yet";

/** Answers the application's questions for names of the mesh, from the table that the control plane sends. */
export class DnsPart implements Part {
  readonly #around: Surroundings;
  readonly #whyUnconfigured: () => readonly Cause[];
  #server: DnsServer | undefined;
  readonly intercepts: NonNullable<Part["intercepts"]>;

  /** `whyUnconfigured`: why the control plane may not have sent the table; empty when all is well. */
  constructor(around: Surroundings, whyUnconfigured: () => readonly Cause[]) {
    this.#around = around;
    this.#whyUnconfigured = whyUnconfigured;
    this.intercepts = isOn(around.config) ? { [NAME_TABLE_TYPE]: (message) => this.#server?.take(message) } : {};
  }

  lasting(config: AgentConfig): Record<string, unknown> {
    const { settings, flags } = config;
    const { dnsProxyAddress, isDnsForwardParallel, dnsForwardTimeoutMs, podNamespace } = settings;
    const names = { podNamespace, domain: flags.domain };
    return { dns: isOn(config), dnsProxyAddress, isDnsForwardParallel, dnsForwardTimeoutMs, ...names };
  }

  /** Rejects with the room's codes, and Istio's words before the reason. */
  async bind(life: Lifetime): Promise<void> {
    const { config, context } = this.#around;
    if (!isOn(config)) return;
    const { openDnsServer } = await import("../../dns/index.ts");
    const opening = openDnsServer({
      address: config.settings.dnsProxyAddress,
      isRoot: process.geteuid?.() === 0,
      readFile: (path) => readFile(path, "utf8"),
      limit: connectionLimit(),
      mostExchanges: connectionLimit(MOST_EXCHANGES).most,
      log: context.log,
    });
    this.#server = await life.own("DNS server", opening.catch(explain));
    context.log.info(`DNS server: ${this.#server.addresses.join(", ")}`);
  }

  async readiness(): Promise<readonly ReadinessCheck[]> {
    const server = this.#server;
    if (server === undefined) return [];
    return [
      {
        name: "dns",
        check: () => (server.hasTable() ? undefined : { phrase: NOT_READY, causes: this.#whyUnconfigured() }),
      },
    ];
  }

  async serve({ node }: Serving): Promise<void> {
    const { config, metrics } = this.#around;
    const { settings } = config;
    this.#server?.serve({
      namespace: settings.podNamespace,
      domain: domainOf(node),
      isParallel: settings.isDnsForwardParallel,
      timeoutMs: settings.dnsForwardTimeoutMs === 0 ? DEFAULT_TIMEOUT_MS : settings.dnsForwardTimeoutMs,
      metrics,
    });
  }

  async routes(): Promise<readonly Route[]> {
    const { jsonRoute } = await import("../../status/index.ts");
    return [jsonRoute("/debug/ndsz", () => this.#server?.dump())];
  }

  report(): DnsReport {
    const server = this.#server;
    return server === undefined ? {} : { dns: { addresses: server.addresses, names: server.size() } };
  }
}

/** The xDS type by which istiod sends the names of the mesh. */
const NAME_TABLE_TYPE = "type.googleapis.com/istio.networking.nds.v1.NameTable";
/** Where the limit of descriptors allows as many. */
const MOST_EXCHANGES = 5_000;
/** What the reference's DNS library takes for 0. */
const DEFAULT_TIMEOUT_MS = 2_000;

function isOn({ settings, role }: AgentConfig): boolean {
  return settings.isDnsServer || (settings.isDnsCapture && role === "sidecar");
}

/** The last part of the node's id. */
function domainOf({ id }: NodeDescription): string {
  return id.split("~")[3] ?? "";
}

function explain(error: unknown): never {
  const text = `failed to start local DNS server: ${describeError(error)}`;
  if (!(error instanceof AgentError)) throw new AgentError("FILE_UNREADABLE", text, { cause: error });
  throw new AgentError(error.code, text, { ...(error.hint === undefined ? {} : { hint: error.hint }), cause: error });
}
