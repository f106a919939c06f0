import { AgentError, describeError, systemClock } from "../../base/index.ts";
import type { BootstrapFile } from "../../bootstrap/index.ts";
import { type AgentConfig, formatProblem, type LoadedConfig } from "../../config/index.ts";
import type { SpawnOptions, SupervisedEnvoy } from "../../envoy/supervisor/index.ts";
import type { NodeDescription } from "../../node/index.ts";
import {
  type Around,
  findBinary,
  findNode,
  hotRestart,
  lookAround,
  planEnvoy,
  prepareBootstrap,
} from "../start-envoy/index.ts";
import { type Lasting, refuseLasting } from "./refuse-lasting.ts";
import { refuseInvalid, refuseOtherAdmin, refuseTakenPorts } from "./reload-checks.ts";
import { describeStart, differencesOf, type StartDocument } from "./start-document.ts";

/** What came of a reload. */
export interface ReloadReport {
  /** `unchanged` only where that was asked to be no reason. */
  readonly outcome: "replaced" | "unchanged" | "refused";
  /** Why the old Envoy serves on. */
  readonly reason?: string;
  /** What the reader can do about it: one sentence. */
  readonly hint?: string;
  /** How the bootstrap and the command line differ from those before, one line each. */
  readonly changes: readonly string[];
  /** What is suspicious in the configuration, one line each, as `pilotboat config` prints it. */
  readonly warnings: readonly string[];
  /** How long the Envoy before may still drain, at most. */
  readonly drainLeftSeconds: number;
  /** Of the Envoy that serves now. */
  readonly pid: number | undefined;
  readonly ms: number;
}

/** Why something cannot be done, and what the reader can do about it. */
export interface Obstacle {
  readonly reason: string;
  readonly hint?: string;
}

/** What the next Envoy is configured with by the control plane, or from what it said last. */
export interface NextConfiguration {
  /** Why an Envoy of that node would get none; undefined where it gets one, or the control plane was never asked. */
  readonly whyNextIsUnconfigured: (config: AgentConfig, node: NodeDescription) => Promise<Obstacle | undefined>;
  /** It is started now; gives the way back, for where it does not take over. */
  readonly keepForNext: (config: AgentConfig, node: NodeDescription) => () => void;
}

export interface ReloadParts extends NextConfiguration {
  readonly config: AgentConfig;
  readonly context: Around & {
    /** Reads the configuration once more. Absent: a reload only renders and starts anew. */
    readonly readAgain?: () => Promise<LoadedConfig>;
  };
  readonly envoy: SupervisedEnvoy;
  /** What the Envoy that runs was started with. */
  readonly spawn: SpawnOptions;
  readonly hasExternalSds: boolean;
  /** What a reload must not change, as `refuseLasting` takes it. */
  readonly parts: readonly Lasting[];
  readonly stop: AbortSignal;
}

export interface ReloadOptions {
  /** False: an Envoy that would be started with the very same is left alone. */
  readonly evenIfUnchanged: boolean;
}

/** Reads the configuration again and has an Envoy with that take over. Never rejects; one at a time. */
export type Reload = (options?: ReloadOptions) => Promise<ReloadReport>;

/** To be made soon after the spawn: it notes what Envoy was started with. Disposing it removes what it wrote. */
export async function createReloader(parts: ReloadParts): Promise<Reloader> {
  return new Reloader(parts, await describeStart(parts.spawn));
}

type Outcome = Omit<ReloadReport, "ms" | "pid" | "warnings" | "drainLeftSeconds">;

export class Reloader implements AsyncDisposable {
  readonly #parts: ReloadParts;
  #served: StartDocument;
  /** Of the last takeover. */
  #file: BootstrapFile | undefined;
  #isBusy = false;
  /** Of the configuration that was read last. */
  #warnings: readonly string[] = [];

  constructor(parts: ReloadParts, served: StartDocument) {
    this.#parts = parts;
    this.#served = served;
  }

  async reload(options: ReloadOptions = { evenIfUnchanged: true }): Promise<ReloadReport> {
    const { envoy, context } = this.#parts;
    const startedMs = performance.now();
    const outcome = await this.#attemptAlone(options);
    const report = {
      ...outcome,
      warnings: this.#warnings,
      drainLeftSeconds: Math.ceil(envoy.drainLeftMs() / 1_000),
      pid: envoy.pid(),
      ms: Math.round(performance.now() - startedMs),
    };
    const { pid, ms, reason, hint } = report;
    if (report.outcome === "replaced") context.log.info("Reload: the next Envoy is active", { pid, ms });
    if (report.outcome === "refused") {
      const isServing = envoy.state().kind === "running";
      const stays = isServing ? "; the previous Envoy stays active" : "";
      context.log.error(`Reload refused${stays}: ${reason}`, hint === undefined ? {} : { hint });
    }
    return report;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file?.[Symbol.asyncDispose]();
  }

  async #attemptAlone(options: ReloadOptions): Promise<Outcome> {
    if (hotRestart(this.#parts.config) === undefined) return refused(HOW_TO_ALLOW);
    if (this.#isBusy) return refused("another reload is under way");
    this.#isBusy = true;
    try {
      for (;;) {
        const outcome = await this.#attempt(options);
        if (outcome !== "waited") return outcome;
      }
    } catch (error) {
      return refused(describeError(error), error instanceof AgentError ? error.hint : undefined);
    } finally {
      this.#isBusy = false;
    }
  }

  /** `waited`: for an earlier epoch, so long that the configuration may be another one by now. */
  async #attempt({ evenIfUnchanged }: ReloadOptions): Promise<Outcome | "waited"> {
    const { context, stop } = this.#parts;
    const { config, warnings } = await readAgain(this.#parts);
    this.#warnings = warnings.map(formatProblem);
    const envoy = findBinary(config, context);
    const [node, surroundings, envoyBinary] = await Promise.all([
      findNode(config, { hasExternalSds: this.#parts.hasExternalSds, envoy }, context.log, stop),
      lookAround(context),
      envoy,
    ]);
    const file = await prepareBootstrap(config, node, context, { isNext: true, envoyPath: envoyBinary.path });
    let isSettled = false;
    let undo = (): void => undefined;
    try {
      const { spawn } = await planEnvoy({
        ...{ surroundings, config, context, node, bootstrapFile: file.path, envoyBinary },
        output: this.#parts.spawn.output,
      });
      const next = await describeStart(spawn);
      const changes = differencesOf(this.#served, next);
      if (changes.length === 0 && !evenIfUnchanged) return { outcome: "unchanged", changes };
      if (await waitForEarlierEpochs(this.#parts)) return "waited";
      for (const change of changes) context.log.info(`Reload: ${change}`);
      await this.#refuseWithoutConfiguration(config, node);
      await this.#check(spawn, next);
      undo = this.#parts.keepForNext(config, node);
      const result = await this.#parts.envoy.replace(spawn, startedWith(file.lastingPath, spawn, file.path));
      if (result.kind === "refused") return { outcome: "refused", reason: result.reason, changes };
      isSettled = true;
      this.#served = next;
      await this.#settle(file);
      return { outcome: "replaced", changes };
    } finally {
      if (!isSettled) {
        undo();
        await file[Symbol.asyncDispose]();
      }
    }
  }

  async #refuseWithoutConfiguration(config: AgentConfig, node: NodeDescription): Promise<void> {
    const obstacle = await this.#parts.whyNextIsUnconfigured(config, node);
    if (obstacle === undefined) return;
    const { reason, ...advice } = obstacle;
    const message = `Cannot start the next Envoy without a configuration: ${reason}`;
    throw new AgentError("CONTROL_PLANE_UNREACHABLE", message, advice);
  }

  /** What can be found out before the next epoch is found out before: it costs the admin, or more, afterwards. */
  async #check(spawn: SpawnOptions, next: StartDocument): Promise<void> {
    await refuseInvalid(spawn, this.#parts.stop);
    refuseOtherAdmin(this.#served.bootstrap, next.bootstrap);
    await refuseTakenPorts(this.#served.bootstrap, next.bootstrap);
  }

  async #settle(file: BootstrapFile): Promise<void> {
    try {
      await file.settle();
      if (this.#file !== undefined && this.#file.lastingPath !== file.lastingPath) {
        await this.#file[Symbol.asyncDispose](); // of another form: nobody is started with it again
      }
    } catch (error) {
      this.#parts.context.log.warn("A cold start will not find the bootstrap", { error: describeError(error) });
    }
    this.#file = file;
  }
}

function refused(reason: string, hint?: string): Outcome {
  return { outcome: "refused", reason, ...(hint === undefined ? {} : { hint }), changes: [] };
}

/** The same start with another name of its bootstrap. */
function startedWith(path: string, spawn: SpawnOptions, before: string): SpawnOptions {
  return { ...spawn, args: spawn.args.map((word) => (word === before ? path : word)) };
}

const HOW_TO_ALLOW = "hot restart is off; start the agent with --hot-restart";

async function readAgain({ config, context, parts }: ReloadParts): Promise<LoadedConfig> {
  if (context.readAgain === undefined) return { config, warnings: [] };
  const read = await context.readAgain();
  for (const warning of read.warnings) context.log.warn(formatProblem(warning));
  refuseLasting(config, read.config, parts);
  return read;
}

const LOOK_MS = 100;
/** The supervisor ends an epoch that nobody else ends within less. */
const PATIENCE_RESERVE_MS = 10_000;

/**
 * A third epoch would cut the drain of the first short; it is given the time that it was promised. Resolves with whether
 * there was one.
 */
async function waitForEarlierEpochs({ envoy, stop, context }: ReloadParts): Promise<boolean> {
  if (envoy.count() <= 1) return false;
  const patienceMs = envoy.drainLeftMs() + PATIENCE_RESERVE_MS;
  const until = systemClock.now() + patienceMs;
  context.log.info("Reload: waiting for a previous Envoy to finish draining", { atMostMs: patienceMs });
  while (envoy.count() > 1 && systemClock.now() < until) await systemClock.sleep(LOOK_MS, stop);
  if (envoy.count() > 1) throw new AgentError("TIMEOUT", "A previous Envoy does not exit");
  return true;
}
