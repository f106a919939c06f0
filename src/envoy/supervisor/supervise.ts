import { type Clock, describeError, systemClock } from "../../base/index.ts";
import { describeEnd, type SpawnOptions } from "./child.ts";
import { drainAndWait, requestDrain } from "./drain.ts";
import { begin, step, TERM_LIMIT_MS } from "./lifecycle.ts";
import { waitUntilLive } from "./liveness.ts";
import { Processes, type Running } from "./processes.ts";
import type { RunRecord } from "./restart-policy.ts";
import { describeRun, type EnvoyEnd, isGood, logRun } from "./run-report.ts";
import type { Child, Effect, Event, Lifecycle, Outcome, State } from "./states.ts";
import type { Replacement, SupervisedEnvoy, SuperviseOptions, Traces } from "./supervised-envoy.ts";

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
/** What an epoch is given beyond the time after which its successor should have ended it. */
const RETIRE_RESERVE_MS = 5_000;

interface Replacing {
  readonly spawn: SpawnOptions;
  readonly settled: SpawnOptions;
  readonly done: (result: Replacement) => void;
  next: Child | undefined;
}

/** Does what the lifecycle decides, and tells it what came of that. */
class Supervisor implements SupervisedEnvoy {
  readonly ended: Promise<EnvoyEnd>;
  readonly #options: SuperviseOptions;
  readonly #clock: Clock;
  readonly #processes: Processes;
  #end: (end: EnvoyEnd) => void = () => undefined;
  #life: Lifecycle | undefined;
  /** What the next cold start is started with. */
  #spawn: SpawnOptions;
  #isDrainSkipped = false;
  /** Of the process that was drained by `drain`; one that came after it was not. */
  #drainedPid: number | undefined;
  #timer = new AbortController();
  #replacing: Replacing | undefined;
  /** Of the process that ended last. */
  #traces: Traces;
  /** Of the run that is accounted for; older epochs may end after it. */
  #lastLines: readonly string[] = [];
  /** Everything that is still to be written about runs. */
  #accounting: Promise<void> = Promise.resolve();

  constructor(options: SuperviseOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#spawn = options.spawn;
    this.#traces = { lastLines: [], threads: undefined, spawn: options.spawn };
    this.#processes = new Processes({
      clock: this.#clock,
      parentShutdownSeconds: options.hotRestart?.parentShutdownSeconds,
      onSpawn: options.onSpawn ?? (() => undefined),
    });
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  /** Rejects as `spawnEnvoy` does. */
  async start(): Promise<void> {
    const running = await this.#processes.spawn(this.#spawn, 0);
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
    return this.#processes.size;
  }

  replace(spawn: SpawnOptions, settled: SpawnOptions): Promise<Replacement> {
    if (this.#options.hotRestart === undefined) {
      return Promise.resolve({ kind: "refused", reason: "hot restart is off" });
    }
    if (this.#replacing !== undefined) {
      return Promise.resolve({ kind: "refused", reason: "another replacement is under way" });
    }
    return new Promise((done) => {
      this.#replacing = { spawn, settled, next: undefined, done };
      this.#happens({ kind: "replace" });
    });
  }

  async drain(): Promise<void> {
    const pid = this.pid();
    await requestDrain({ ...this.#options, clock: this.#clock }, true);
    this.#drainedPid = pid;
  }

  skipDrain(): void {
    this.#isDrainSkipped = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const pid = this.pid();
    const isDrained = this.#isDrainSkipped || (pid !== undefined && pid === this.#drainedPid);
    this.#happens({ kind: "stop", isDrained });
    await this.ended;
    await this.#processes[Symbol.asyncDispose]();
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
        void this.#wait(effect.ms, effect.isHurried === true);
        break;
      case "account":
        this.#account(effect.run, effect.attempt, effect.waitMs);
        break;
      case "replaced":
        this.#settleReplacement({ kind: "replaced", pid: effect.child.pid, epoch: effect.child.epoch });
        if (effect.old !== undefined) void this.#retire(effect.old);
        break;
      case "retired":
        this.#options.log.info("The Envoy before has ended", {
          pid: effect.child.pid,
          reason: describeEnd(effect.end),
        });
        break;
      case "not replaced":
        void this.#notReplaced(effect.reason);
        break;
      case "end":
        this.#settleEnd(effect.end);
    }
  }

  async #spawnAgain(epoch: number): Promise<void> {
    try {
      const replacing = epoch === 0 ? undefined : this.#replacing;
      const running = await this.#processes.spawn(replacing?.spawn ?? this.#spawn, epoch);
      if (replacing !== undefined) replacing.next = running.child;
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
      this.#traces = { lastLines: process.lastLines(), threads: running.threads, spawn: running.spawn };
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
      if (this.state().kind === "hung") return;
    }
  }

  async #drain({ id }: Child): Promise<void> {
    const { hurry, force } = this.#options.signals;
    const gone = new AbortController();
    void this.#processes.get(id)?.process.ended.then(() => gone.abort());
    await drainAndWait({ ...this.#options, clock: this.#clock }, AbortSignal.any([gone.signal, hurry, force]));
    this.#happens({ kind: "drained" });
  }

  #signal(children: readonly Child[], signal: NodeJS.Signals): void {
    const { log } = this.#options;
    for (const { id, pid } of children) {
      if (signal === "SIGKILL") log.warn("Killing Envoy", { signal, pid });
      else log.info("Ending Envoy", { signal, pid });
      this.#processes.get(id)?.process.kill(signal);
    }
  }

  /**
   * An epoch that was replaced is ended by its successor. When that is gone nobody else does it, and no other epoch
   * could follow.
   */
  async #retire({ id, pid }: Child): Promise<void> {
    const running = this.#processes.get(id);
    const seconds = this.#options.hotRestart?.parentShutdownSeconds ?? 0;
    if (running === undefined) return;
    const gone = new AbortController();
    void running.process.ended.then(() => gone.abort());
    for (const [signal, afterMs] of [
      ["SIGTERM", seconds * 1_000 + RETIRE_RESERVE_MS],
      ["SIGKILL", TERM_LIMIT_MS],
    ] as const) {
      await this.#clock.sleep(afterMs, gone.signal).catch(() => undefined); // it has ended
      if (gone.signal.aborted) return;
      this.#options.log.warn("Ending the Envoy before, nobody else did", { pid, signal });
      running.process.kill(signal);
    }
  }

  async #wait(ms: number, isHurried: boolean): Promise<void> {
    this.#timer.abort();
    this.#timer = new AbortController();
    const { signal } = this.#timer;
    const { hurry, force } = this.#options.signals;
    const cut = AbortSignal.any([signal, force, ...(isHurried ? [hurry] : [])]); // a third signal ends every patience
    await this.#clock.sleep(ms, cut).catch(() => undefined);
    if (!signal.aborted) this.#happens({ kind: "time is up" });
  }

  #account(run: RunRecord, attempt: number | undefined, waitMs: number): void {
    const { log, metrics, keepEvidence } = this.#options;
    logRun(run, log);
    this.#lastLines = this.#traces.lastLines;
    if (keepEvidence !== undefined && run.spawnFailure === undefined && !isGood(run)) {
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
      await this.#processes.forgetFailedEpoch();
    } catch (error) {
      log.warn("The next hot restart may fail", { error: describeError(error) });
    }
    const serving = this.#processes.ofPid(this.pid());
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
    if (result.kind === "replaced" && replacing !== undefined) {
      this.#spawn = replacing.settled;
      const serving = this.#processes.ofPid(result.pid);
      if (serving !== undefined) serving.spawn = replacing.settled;
    }
    replacing?.done(result);
  }

  #settleEnd(outcome: Outcome): void {
    const lastLines = this.#lastLines;
    const end: EnvoyEnd =
      outcome.by === "us"
        ? outcome
        : { by: "itself", run: outcome.run, message: describeRun(outcome.run, lastLines), lastLines };
    void this.#accounting.then(() => this.#end(end));
  }
}
