import type { Lifetime } from "../../base/index.ts";
import type { AgentConfig } from "../../config/index.ts";
import type { FoundEnvoy } from "../../envoy/binary/index.ts";
import type { SpawnOptions, SupervisedEnvoy } from "../../envoy/supervisor/index.ts";
import type { NodeDescription } from "../../node/index.ts";
import type { Cause, EnvoyPresence, ReadinessCheck, Route } from "../../status/index.ts";
import { tryPorts, warnOfSharedPorts } from "../ports/index.ts";
import { type NextConfiguration, type Reload, type Reloader, watchConfig } from "../reload/index.ts";
import { type ClaimedFolder, inRunFolder } from "../run-folder/index.ts";
import {
  findBinary,
  hasOwnDocument,
  lastingEnvoyOptions,
  lookAround,
  type MeetingPlace,
  makeMeetingPlace,
  outputSource,
  planEnvoy,
  prepareBootstrap,
  spawnEnvoy,
} from "../start-envoy/index.ts";
import { askVersionOf, type EnvoyReport, envoyAddresses, reportEnvoy } from "./envoy-report.ts";
import type { AgentEnd, Part, Serving, Surroundings } from "./part.ts";

export interface EnvoyNeeds extends NextConfiguration {
  readonly node: () => Promise<NodeDescription>;
  readonly hasExternalSds: () => boolean;
  /** Why Envoy may lack certificates or configuration; empty when all is well. */
  readonly whyUnconfigured: () => readonly Cause[];
  /** What Envoy refuses; undefined when it has taken the latest of all. */
  readonly refusal: () => Cause | undefined;
  /** Those whose lasting options a reload must not change. */
  readonly parts: () => readonly Part[];
}

/** What Envoy is made of, before there is one. */
interface Bound {
  readonly folder: ClaimedFolder;
  readonly binary: FoundEnvoy;
  readonly surroundings: Awaited<ReturnType<typeof lookAround>>;
  readonly output: ReturnType<typeof outputSource>;
  /** Where the Envoys of a hot restart meet; undefined without. */
  readonly meetingPlace: MeetingPlace | undefined;
}

/** Envoy itself: bootstrap, process, supervision, reload. With DISABLE_ENVOY what is left of it serves gRPC clients. */
export class EnvoyPart implements Part {
  readonly #around: Surroundings;
  readonly #needs: EnvoyNeeds;
  #bound: Bound | undefined;
  #node: NodeDescription | undefined;
  #envoy: SupervisedEnvoy | undefined;
  #reload: Reload | undefined;
  #version: Promise<string | undefined> | undefined;
  #readiness: ReadinessCheck | undefined;

  constructor(around: Surroundings, needs: EnvoyNeeds) {
    this.#around = around;
    this.#needs = needs;
  }

  /** The executable, once it is bound; undefined without Envoy. */
  get binary(): FoundEnvoy | undefined {
    return this.#bound?.binary;
  }

  /** Of the process that serves, if there is one now. */
  pid(): number | undefined {
    return this.#envoy?.pid();
  }

  /** How many processes live. */
  count(): number {
    return this.#envoy?.count() ?? 0;
  }

  async drain(): Promise<void> {
    await this.#envoy?.drain();
  }

  /** The end then waits for nothing, whatever state Envoy is in. */
  skipDrain(): void {
    this.#envoy?.skipDrain();
  }

  lasting(config: AgentConfig): Record<string, unknown> {
    return lastingEnvoyOptions(config);
  }

  /** Rejects with ENVOY_NOT_FOUND, ENVOY_NOT_EXECUTABLE, or as `makeMeetingPlace` does. */
  async bind(life: Lifetime, folder: Promise<ClaimedFolder>): Promise<void> {
    const { config, context } = this.#around;
    if (config.settings.isEnvoyDisabled) return;
    const lookingAround = lookAround(context); // many small files
    const claimed = await folder;
    const meetingPlace = await makeMeetingPlace(config, context);
    if (meetingPlace !== undefined) await life.own("folder for hot restart", meetingPlace);
    life.defer("Envoy", () => this.#waitUntilGone()); // after what is made below, which closes while Envoy exits, and before the folders above
    const output = await life.own("output of Envoy", outputSource(config, context));
    output.prepare(); // the run folder is there now; what takes long about it runs beside the rest
    const [binary, surroundings] = await Promise.all([findBinary(config, context), lookingAround]);
    this.#bound = { folder: claimed, binary, surroundings, output, meetingPlace };
  }

  /** Rejects with ADDRESS_IN_USE, FILE_UNWRITABLE, and what a bootstrap can be refused with. */
  async spawn(life: Lifetime): Promise<void> {
    const { config, context, timeline, metrics, ports, stop } = this.#around;
    const node = await this.#needs.node();
    this.#node = node;
    await tryPorts(ports, node.family.localhost);
    const bound = this.#bound;
    const written = prepareBootstrap(config, node, context, { envoyPath: bound?.binary.path });
    const file = await life.own("bootstrap file", written);
    if (bound === undefined) {
      timeline.mark("bootstrap written");
      return;
    }
    const { binary: envoyBinary, surroundings, output, folder: runFolder, meetingPlace } = bound;
    const plan = await planEnvoy({
      ...{ surroundings, output, config, context, node, envoyBinary },
      bootstrapFile: file.path,
    });
    timeline.mark("bootstrap written");
    stop.throwIfAborted();
    const socketPath = meetingPlace?.socketPath;
    this.#envoy = await spawnEnvoy({ ...plan, config, context, node, metrics, runFolder, socketPath });
    timeline.mark("envoy spawned");
    this.#reload = this.#prepareReload(life, this.#envoy, plan.spawn);
  }

  async readiness(node: NodeDescription): Promise<readonly ReadinessCheck[]> {
    const { config, context, metrics } = this.#around;
    const { adminAccess, envoyReadiness, grpcBootstrapReadiness } = await import("../../status/index.ts");
    const { grpcBootstrapPath, isEnvoyDisabled } = config.settings;
    const envoy = envoyReadiness({
      adminGet: adminAccess(node.family.localhost, config.proxy.proxyAdminPort),
      because: this.#needs.whyUnconfigured,
      refusal: this.#needs.refusal,
      presence: () => this.#presence(),
      mayBeStatic: !hasOwnDocument(config),
      ...{ metrics, log: context.log, startedMs: performance.timeOrigin },
    });
    if (!isEnvoyDisabled) this.#readiness = envoy;
    return [
      ...(isEnvoyDisabled ? [] : [envoy]),
      ...(grpcBootstrapPath === "" ? [] : [grpcBootstrapReadiness(inRunFolder(config, grpcBootstrapPath), config.cwd)]),
    ];
  }

  /** Why Envoy itself is not ready, in the phrase of `/healthz/ready`; undefined when it is, and without Envoy. */
  async whyNotReady(): Promise<string | undefined> {
    const found = await this.#readiness?.check();
    return typeof found === "object" ? found.phrase : found;
  }

  #presence(): EnvoyPresence {
    const state = this.#envoy?.state();
    if (state?.kind === "waiting") return { goneBecause: "Envoy has exited and is started again after the backoff" };
    if (state?.kind === "ended") return { goneBecause: "Envoy has exited" };
    if (state?.kind === "stopping" && state.end.by === "itself") return { goneBecause: "Envoy has exited" };
    if (state?.kind === "starting" && state.child.epoch > 0) {
      return { goneBecause: "Envoy has exited before the one that takes over is live" };
    }
    return { restarts: this.#envoy?.history().restarts ?? 0 };
  }

  async serve({ life }: Serving): Promise<void> {
    const { config, context } = this.#around;
    const reload = this.#reload;
    if (!config.flags.watch || reload === undefined) return;
    const watching = watchConfig(config, context.log, () => reload({ evenIfUnchanged: false }));
    await life.own("configuration watch", watching);
  }

  /** Its code is loaded where it may be needed. */
  #prepareReload(life: Lifetime, envoy: SupervisedEnvoy, spawn: SpawnOptions): Reload {
    const { config, context, stop } = this.#around;
    const { whyNextIsUnconfigured, keepForNext, hasExternalSds, parts } = this.#needs;
    const make = async (): Promise<Reloader> => {
      const { createReloader } = await import("../reload/reload.ts");
      const around = { config, context, envoy, spawn, whyNextIsUnconfigured, keepForNext, stop, parts: parts() };
      return createReloader({ ...around, hasExternalSds: hasExternalSds() });
    };
    let made = config.settings.isHotRestart ? make() : undefined;
    made?.catch(() => undefined); // told to whoever asks
    life.defer("reload", async () => (await made?.catch(() => undefined))?.[Symbol.asyncDispose]());
    return async (wanted) => {
      made ??= make();
      return (await made).reload(wanted);
    };
  }

  async routes(): Promise<readonly Route[]> {
    const { quit, context } = this.#around;
    const { drainRoute, quitRoute, reloadRoute } = await import("../../status/index.ts");
    const quitAtOnce = (): void => {
      this.skipDrain();
      quit("/quitquitquit called");
    };
    return [quitRoute(quitAtOnce, context.log), drainRoute(() => this.drain(), context.log), reloadRoute(this.#reload)];
  }

  async report(): Promise<EnvoyReport> {
    const envoy = this.#envoy;
    if (envoy === undefined) return { envoy: { kind: "disabled" }, envoys: 0, drainLeftSeconds: 0 };
    const version = await this.#askVersion();
    const addresses = this.#node === undefined ? undefined : envoyAddresses(this.#around.config, this.#node);
    return reportEnvoy(envoy, { version, addresses });
  }

  /** The executable tells, once: an Envoy that hangs does not. */
  #askVersion(): Promise<string | undefined> {
    this.#version ??= askVersionOf(this.binary, this.#around.context.host.env);
    return this.#version;
  }

  noteReady(): void {
    const pid = this.pid();
    if (pid !== undefined && this.count() === 1) void warnOfSharedPorts(pid, this.#around.context.log);
  }

  ended(): Promise<AgentEnd> | undefined {
    return this.#envoy?.ended.then((end) => ({ kind: "envoy", end }));
  }

  /** Drains Envoy and sends it SIGTERM, while everything it talks to still answers. `#waitUntilGone` waits for its exit. */
  async finish(): Promise<void> {
    await this.#envoy?.stop();
  }

  async #waitUntilGone(): Promise<void> {
    await this.#envoy?.[Symbol.asyncDispose]();
  }
}
