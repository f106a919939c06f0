import type { AgentConfig } from "../../config/index.ts";
import type { NodeDescription } from "../../node/index.ts";
import type { Prober } from "../../probes/index.ts";
import type { AppProbe } from "../../probes/table/index.ts";
import type { Route } from "../../status/index.ts";
import type { Part, Surroundings } from "./part.ts";

/** Asks the application what the kubelet wants to know: the injector has pointed its probes at the status port. */
export class ProbesPart implements Part {
  readonly #around: Surroundings;
  readonly #node: () => Promise<NodeDescription>;
  #probes: ReadonlyMap<string, AppProbe> = new Map();

  constructor(around: Surroundings, node: () => Promise<NodeDescription>) {
    this.#around = around;
    this.#node = node;
  }

  lasting({ settings, proxy }: AgentConfig): Record<string, unknown> {
    return {
      probes: settings.appProbers,
      ...{ instanceIp: settings.instanceIp, isLocalhost: settings.isProbingLocalhost, statusPort: proxy.statusPort },
      ...{ offersHttp2: settings.isHttp2Probing, keepsAlive: settings.isProbeKeepalive },
    };
  }

  /** Rejects with CONFIG_INVALID. */
  async bind(): Promise<void> {
    const { appProbers } = this.#around.config.settings;
    if (appProbers === "") return;
    const { parseProbers } = await import("../../probes/table/index.ts");
    this.#probes = parseProbers(appProbers);
  }

  /** Without any probe as well: whoever asks for one that is not there gets 400, not 404. */
  async routes(): Promise<readonly Route[]> {
    let loading = this.#probes.size === 0 ? undefined : this.#prober();
    await loading;
    const answer: Route["answer"] = async ({ request, path }) => {
      loading ??= this.#prober();
      const prober = await loading;
      const gone = new AbortController();
      const leave = (): void => gone.abort(new Error("the caller has left"));
      request.socket.setTimeout(0); // a preStop hook may take as long as the pod has
      request.socket.once("close", leave);
      try {
        const { status, body } = await prober.answer({
          path: decoded(path),
          rawHeaders: request.rawHeaders,
          gone: gone.signal,
        });
        return { status, body: typeof body === "string" ? body : piecesOf(body) };
      } finally {
        request.socket.off("close", leave);
      }
    };
    return ["/app-health/", "/app-lifecycle/"].map((path) => ({ path, access: "anyone", answer }) as const);
  }

  async #prober(): Promise<Prober> {
    const { config, context } = this.#around;
    const { settings, proxy } = config;
    const { createProber, destinationOf } = await import("../../probes/index.ts");
    const { typed } = await this.#node();
    return createProber({
      probes: this.#probes,
      destination: destinationOf({
        instanceIp: settings.instanceIp,
        addresses: (typed.INSTANCE_IPS ?? []) as readonly string[],
        isLocalhost: settings.isProbingLocalhost,
      }),
      statusPort: proxy.statusPort,
      offersHttp2: settings.isHttp2Probing,
      keepsAlive: settings.isProbeKeepalive,
      log: context.log,
    });
  }
}

/** As it is where it is not a good encoding: then there is no probe of that name. */
function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

/** An application's bytes need not be text. */
async function* piecesOf(body: Buffer): AsyncGenerator<Buffer> {
  yield body;
}
