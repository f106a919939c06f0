import { type Clock, describeError, type Logger, type Metrics, type StopSignals, systemClock } from "../base/index.ts";
import type { AdminClient } from "./admin-client.ts";
import { type EnvoyChild, type SpawnOptions, spawnEnvoy } from "./child.ts";
import { type DrainOptions, drainAndWait, requestDrain } from "./drain.ts";
import { epochArguments, forgetFailedEpoch, newBaseId, removeSharedMemory } from "./hot-restart.ts";
import {
  begin,
  type Child,
  type Effect,
  type Event,
  type Lifecycle,
  type Outcome,
  type State,
  step,
} from "./lifecycle.ts";
import { waitUntilLive } from "./liveness.ts";
import type { RestartPolicy, RunRecord } from "./restart-policy.ts";
import { describeRun, type EnvoyEnd, logRun } from "./run-report.ts";
import type { EnvoyFeatures } from "./version-table.ts";

export interface SuperviseOptions {
  readonly spawn: SpawnOptions;
  readonly features: EnvoyFeatures;
  readonly admin: AdminClient;
  readonly drain: DrainOptions;
  readonly restart: RestartPolicy;
  /** Allows `replace`; the arguments must not switch hot restart off. Undefined: it is off. */
  readonly hotRestart?: { readonly parentShutdownSeconds: number } | undefined;
  readonly signals: Pick<StopSignals, "hurry" | "force">;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly clock?: Clock;
  /** Told of every process that was started, with what. */
  readonly onSpawn?: (pid: number, spawn: SpawnOptions) => void;
  /** Watches a live Envoy; resolves when it hangs, with what is to be kept of that, or undefined when `stop` aborts. */
  readonly watchForHang?: (pid: number, stop: AbortSignal) => Promise<string | undefined>;
  /** Keeps what is to be known of a run that failed; resolves with where. Never rejects. */
  readonly keepEvidence?: (run: RunRecord, traces: Traces) => Promise<string | undefined>;
}

/** What one run leaves to be looked at. */
export interface Traces {
  readonly lastLines: readonly string[];
  /** The watchdog's, when it hung. */
  readonly threads: string | undefined;
  readonly configFile: string | undefined;
}

/** Whether the next epoch took over; if not, the old one serves on. */
export type Replacement =
  | { readonly kind: "replaced"; readonly pid: number; readonly epoch: number }
  | { readonly kind: "refused"; readonly reason: string };

/** A supervised Envoy: there is a child, or one is about to be started again. */
export interface SupervisedEnvoy extends AsyncDisposable {
  state(): State;
  /** The process that serves, if there is one now. */
  pid(): number | undefined;
  /** How many processes live: two or three during a hot restart and the drain after it. */
  count(): number;
  /** Settles once, when there will be no further child; never rejects. */
  readonly ended: Promise<EnvoyEnd>;
  /** Hot restart: starts the next epoch, which takes over once it is live. Never rejects. */
  replace(spawn: SpawnOptions): Promise<Replacement>;
  /** `POST /drain`: drains and lets Envoy run on; the end then comes without waiting. */
  drain(): Promise<void>;
  /** The next stop is immediate (`POST /quitquitquit`). */
  skipDrain(): void;
  /** Drains as configured and ends Envoy. Calling again returns the same promise. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Starts Envoy and keeps it as the policy says. Rejects with ENVOY_NOT_FOUND, ENVOY_NOT_EXECUTABLE or
 * ENVOY_START_FAILED when the first child cannot be spawned.
 */
export async function superviseEnvoy(options: SuperviseOptions): Promise<SupervisedEnvoy> {
  const supervisor = new Supervisor(options);
  await supervisor.start();
  return supervisor;
}

const ADMIN_LIMIT_MS = 1_000;

interface Running {
  readonly child: Child;
  readonly process: EnvoyChild;
  readonly spawn: SpawnOptions;
  threads: string | undefined;
  /** A next epoch that failed had it closed already; it does not open again. */
  isAdminLost: boolean;
}

/** Does what the lifecycle decides, and tells it what came of that. */
class Supervisor implements SupervisedEnvoy {
  readonly ended: Promise<EnvoyEnd>;
  readonly #options: SuperviseOptions;
  readonly #clock: Clock;
  readonly #running = new Map<number, Running>();
  #end: (end: EnvoyEnd) => void = () => undefined;
  #life: Lifecycle | undefined;
  /** What the next cold start is started with. */
  #spawn: SpawnOptions;
  #baseId = 0;
  #lastId = 0;
  #isDrained = false;
  #timer = new AbortController();
  #replacing: { readonly spawn: SpawnOptions; readonly done: (result: Replacement) => void; next?: Child } | undefined;
  /** The last run's traces, and everything that is still to be written about runs. */
  #traces: Traces = { lastLines: [], threads: undefined, configFile: undefined };
  #accounting: Promise<void> = Promise.resolve();

  constructor(options: SuperviseOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#spawn = options.spawn;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  /** Rejects as `spawnEnvoy` does. */
  async start(): Promise<void> {
    const running = await this.#spawnChild(0);
    this.#life = begin(running.child);
    this.#attend(running);
  }

  state(): State {
    if (this.#life === undefined) throw new Error("asked before the start");
    return this.#life.state;
  }

  pid(): number | undefined {
    const state = this.state();
    return "child" in state ? state.child.pid : undefined;
  }

  count(): number {
    return this.#running.size;
  }

  replace(spawn: SpawnOptions): Promise<Replacement> {
    if (this.#options.hotRestart === undefined) {
      return Promise.resolve({ kind: "refused", reason: "hot restart is off" });
    }
    if (this.#replacing !== undefined) {
      return Promise.resolve({ kind: "refused", reason: "another replacement is under way" });
    }
    return new Promise((done) => {
      this.#replacing = { spawn, done };
      this.#happens({ kind: "replace" });
    });
  }

  async drain(): Promise<void> {
    await requestDrain({ ...this.#options, clock: this.#clock }, true);
    this.#isDrained = true;
  }

  skipDrain(): void {
    this.#isDrained = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#happens({ kind: "stop", isDrained: this.#isDrained });
    await this.ended;
    await Promise.all([...this.#running.values()].map(({ process }) => process.ended));
    if (this.#options.hotRestart !== undefined) await removeSharedMemory(this.#baseId);
  }

  #happens(event: Event): void {
    if (this.#life === undefined) return;
    const before = this.#life.state.kind;
    const context = { policy: this.#options.restart, nowMs: this.#clock.now(), random: Math.random };
    const { next, effects } = step(this.#life, event, context);
    this.#life = next;
    if (next.state.kind !== before) this.#timer.abort();
    for (const effect of effects) this.#do(effect);
  }

  #do(effect: Effect): void {
    switch (effect.kind) {
      case "spawn":
        void this.#spawnAgain(effect.epoch);
        break;
      case "drain":
        void this.#drain(effect.child);
        break;
      case "signal":
        this.#signal(effect.children, effect.signal);
        break;
      case "wait":
        void this.#wait(effect.ms);
        break;
      case "account":
        this.#account(effect.run, effect.attempt, effect.waitMs);
        break;
      case "replaced":
        this.#settleReplacement({ kind: "replaced", pid: effect.child.pid, epoch: effect.child.epoch });
        break;
      case "not replaced":
        void this.#notReplaced(effect.reason);
        break;
      case "end":
        this.#settleEnd(effect.end);
    }
  }

  /** The next process of Envoy; epoch 0 is a cold start with what worked last. */
  async #spawnChild(epoch: number): Promise<Running> {
    const { hotRestart, onSpawn } = this.#options;
    const spawn = epoch === 0 ? this.#spawn : (this.#replacing?.spawn ?? this.#spawn);
    if (epoch === 0) await this.#freshBaseId();
    const extra = hotRestart === undefined ? [] : epochArguments(this.#baseId, epoch, hotRestart.parentShutdownSeconds);
    const process = await spawnEnvoy({ ...spawn, args: [...spawn.args, ...extra] });
    const child = { id: ++this.#lastId, pid: process.pid, epoch, startedMs: this.#clock.now() };
    const running = { child, process, spawn, threads: undefined, isAdminLost: false };
    this.#running.set(child.id, running);
    if (epoch > 0 && this.#replacing !== undefined) this.#replacing.next = child;
    onSpawn?.(child.pid, spawn);
    return running;
  }

  async #freshBaseId(): Promise<void> {
    if (this.#options.hotRestart === undefined) return;
    if (this.#baseId !== 0) await removeSharedMemory(this.#baseId);
    this.#baseId = newBaseId();
  }

  async #spawnAgain(epoch: number): Promise<void> {
    try {
      const running = await this.#spawnChild(epoch);
      this.#happens({ kind: "spawned", child: running.child });
      this.#attend(running);
    } catch (error) {
      this.#happens({ kind: "spawn failed", reason: describeError(error) });
    }
  }

  /** Stays with a process until it is gone: tells when it is live, when it hangs and when it ends. */
  #attend(running: Running): void {
    const { child, process } = running;
    const gone = new AbortController();
    void process.ended.then((end) => {
      gone.abort();
      this.#running.delete(child.id);
      const configFile = running.spawn.args[running.spawn.args.indexOf("-c") + 1];
      this.#traces = { lastLines: process.lastLines(), threads: running.threads, configFile };
      this.#happens({ kind: "exited", id: child.id, end });
    });
    void waitUntilLive(this.#options.admin, child.epoch, this.#clock, gone.signal).then((isLive) => {
      if (!isLive) return;
      this.#happens({ kind: "live", id: child.id });
      void this.#watch(running, gone.signal);
    });
  }

  /** Only who serves owns the admin's address; during a replacement nobody can be blamed for not answering. */
  async #watch(running: Running, gone: AbortSignal): Promise<void> {
    const { watchForHang } = this.#options;
    if (watchForHang === undefined) return;
    while (!gone.aborted && this.pid() === running.child.pid) {
      const threads = await watchForHang(running.child.pid, gone);
      if (threads === undefined || running.isAdminLost) return;
      running.threads = threads;
      this.#happens({ kind: "hung", id: running.child.id });
    }
  }

  async #drain({ id }: Child): Promise<void> {
    const { hurry, force } = this.#options.signals;
    const gone = new AbortController();
    void this.#running.get(id)?.process.ended.then(() => gone.abort());
    await drainAndWait({ ...this.#options, clock: this.#clock }, AbortSignal.any([gone.signal, hurry, force]));
    this.#happens({ kind: "drained" });
  }

  #signal(children: readonly Child[], signal: NodeJS.Signals): void {
    const { log } = this.#options;
    for (const { id, pid } of children) {
      if (signal === "SIGKILL") log.warn("Killing Envoy", { signal, pid });
      else log.info("Ending Envoy", { signal, pid });
      this.#running.get(id)?.process.kill(signal);
    }
  }

  async #wait(ms: number): Promise<void> {
    this.#timer.abort();
    this.#timer = new AbortController();
    const { signal } = this.#timer;
    await this.#clock.sleep(ms, AbortSignal.any([signal, this.#options.signals.force])).catch(() => undefined); // a third signal ends every patience
    if (!signal.aborted) this.#happens({ kind: "time is up" });
  }

  #account(run: RunRecord, attempt: number | undefined, waitMs: number): void {
    const { log, metrics, keepEvidence } = this.#options;
    logRun(run, log);
    if (keepEvidence !== undefined && run.spawnFailure === undefined) {
      const traces = this.#traces;
      this.#accounting = this.#accounting.then(async () => void (await keepEvidence(run, traces)));
    }
    if (attempt === undefined) return;
    metrics.count("envoy_restarts_total");
    log.warn("Starting Envoy again", { attempt, waitMs: Math.round(waitMs) });
  }

  async #notReplaced(reason: string): Promise<void> {
    if (this.#replacing?.next !== undefined) await this.#cleanUpAfterFailedEpoch();
    this.#settleReplacement({ kind: "refused", reason });
  }

  async #cleanUpAfterFailedEpoch(): Promise<void> {
    const { admin, log } = this.#options;
    try {
      await forgetFailedEpoch(this.#baseId);
    } catch (error) {
      log.warn("The next hot restart may fail", { error: describeError(error) });
    }
    const serving = [...this.#running.values()].find(({ child }) => child.pid === this.pid());
    if (serving === undefined) return;
    await admin.get("/ready", ADMIN_LIMIT_MS).catch((error: unknown) => {
      serving.isAdminLost = true;
      log.warn("The Envoy that serves has no admin API any more, until it is replaced", {
        error: describeError(error),
      });
    });
  }

  #settleReplacement(result: Replacement): void {
    const replacing = this.#replacing;
    this.#replacing = undefined;
    if (result.kind === "replaced" && replacing !== undefined) this.#spawn = replacing.spawn;
    replacing?.done(result);
  }

  #settleEnd(outcome: Outcome): void {
    const { lastLines } = this.#traces;
    const end: EnvoyEnd =
      outcome.by === "us"
        ? outcome
        : { by: "itself", run: outcome.run, message: describeRun(outcome.run, lastLines), lastLines };
    void this.#accounting.then(() => this.#end(end));
  }
}
