import { aborted, type Clock, describeError, pause, systemClock } from "../../base/index.ts";
import { Accounts } from "./accounts.ts";
import { describeEnd, type SpawnOptions } from "./child.ts";
import { drainAndWait, requestDrain } from "./drain.ts";
import { begin, step } from "./lifecycle.ts";
import { waitUntilLive } from "./liveness.ts";
import { Processes, type Running } from "./processes.ts";
import { Replacements } from "./replacements.ts";
import type { EnvoyEnd } from "./run-report.ts";
import type { Child, Effect, Event, Lifecycle, State } from "./states.ts";
import type { EnvoyHistory, Replacement, SupervisedEnvoy, SuperviseOptions } from "./supervised-envoy.ts";

/**
 * Starts Envoy and keeps it as the policy says. Rejects with ENVOY_NOT_FOUND, ENVOY_NOT_EXECUTABLE or
 * ENVOY_START_FAILED when the first child cannot be spawned.
 */
export async function superviseEnvoy(options: SuperviseOptions): Promise<SupervisedEnvoy> {
  const supervisor = new Supervisor(options);
  await supervisor.start();
  return supervisor;
}

/** Does what the lifecycle decides, and tells it what came of that. */
class Supervisor implements SupervisedEnvoy {
  readonly ended: Promise<EnvoyEnd>;
  readonly #options: SuperviseOptions;
  readonly #clock: Clock;
  readonly #processes: Processes;
  readonly #accounts: Accounts;
  readonly #replacements: Replacements;
  #end: (end: EnvoyEnd) => void = () => undefined;
  /** Aborted once Envoy has been sent SIGTERM, or has ended by itself. */
  readonly #leaving = new AbortController();
  #life: Lifecycle | undefined;
  /** What the next cold start is started with. */
  #spawn: SpawnOptions;
  /** Aborted when nobody waits for a drain, not even for one that is under way. */
  readonly #drainSkipped = new AbortController();
  /** Of the process that was drained by `drain`; one that came after it was not. */
  #drainedPid: number | undefined;
  #timer = new AbortController();

  constructor(options: SuperviseOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#spawn = options.spawn;
    this.#processes = new Processes({
      clock: this.#clock,
      hotRestart: options.hotRestart,
      env: options.env,
      onSpawn: options.onSpawn ?? (() => undefined),
    });
    const { admin, log, metrics, keepEvidence, onNews } = options;
    this.#accounts = new Accounts({ log, metrics, keepEvidence, onNews });
    this.#replacements = new Replacements({
      ...{ admin, log, clock: this.#clock, processes: this.#processes },
      parentShutdownSeconds: options.hotRestart?.parentShutdownSeconds ?? 0,
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
    if (this.#life === undefined) throw new Error("requested before the start");
    return this.#life.state;
  }

  pid(): number | undefined {
    const state = this.state();
    return "child" in state ? state.child.pid : undefined;
  }

  count(): number {
    return this.#processes.size;
  }

  history(): EnvoyHistory {
    return this.#accounts.history();
  }

  drainLeftMs(): number {
    return this.#processes.drainLeftMs;
  }

  async replace(spawn: SpawnOptions, settled: SpawnOptions): Promise<Replacement> {
    if (this.#options.hotRestart === undefined) return { kind: "refused", reason: "hot restart is off" };
    const replaced = this.#replacements.begin(spawn, settled);
    if (replaced === undefined) return { kind: "refused", reason: "another replacement is under way" };
    this.#happens({ kind: "replace" });
    return replaced;
  }

  async drain(): Promise<void> {
    const pid = this.pid();
    const wasLive = this.state().kind !== "starting"; // before that it has no listeners yet that could drain
    const isDraining = await requestDrain({ ...this.#options, clock: this.#clock }, true);
    if (wasLive && isDraining) this.#drainedPid = pid;
  }

  skipDrain(): void {
    this.#drainSkipped.abort();
  }

  async stop(): Promise<void> {
    const pid = this.pid();
    const isDrained = this.#drainSkipped.signal.aborted || (pid !== undefined && pid === this.#drainedPid);
    this.#happens({ kind: "stop", isDrained });
    await aborted(this.#leaving.signal);
    await this.#accounts.written(); // of a crash just before; what it reads may be removed once we return
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
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
    if (next.state.kind === "stopping" || next.state.kind === "ended") this.#leaving.abort();
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
        this.#accounts.account(effect.run, effect.attempt, effect.waitMs);
        break;
      case "replaced":
        this.#spawn = this.#replacements.succeed(effect.child, effect.old) ?? this.#spawn;
        break;
      case "retired":
        this.#options.log.info("Previous Envoy exited", {
          pid: effect.child.pid,
          reason: describeEnd(effect.end),
        });
        break;
      case "not replaced":
        void this.#replacements.fail(effect.reason, this.pid());
        break;
      case "end":
        void this.#accounts.close(effect.end).then(this.#end);
    }
  }

  async #spawnAgain(epoch: number): Promise<void> {
    try {
      const spawn = epoch === 0 ? undefined : this.#replacements.spawn;
      const running = await this.#processes.spawn(spawn ?? this.#spawn, epoch);
      if (epoch > 0) this.#replacements.noteSpawn(running.child);
      else this.#accounts.noteRestart(running.child.pid);
      this.#happens({ kind: "spawned", child: running.child });
      this.#attend(running);
    } catch (error) {
      this.#happens({ kind: "spawn failed", reason: describeError(error) });
    }
  }

  /** Stays with a process until it is gone: tells when it is live, when it hangs and when it ends. */
  #attend(running: Running): void {
    const { child, spawned } = running;
    const gone = new AbortController();
    void spawned.ended.then((end) => {
      gone.abort();
      this.#accounts.noteEnd({ lastLines: spawned.lastLines(), threads: running.threads, spawn: running.spawn });
      this.#happens({ kind: "exited", id: child.id, end });
    });
    void waitUntilLive(this.#options.admin, child.epoch, this.#clock, gone.signal).then((isLive) => {
      if (!isLive) return;
      this.#happens({ kind: "live", id: child.id });
      void this.#watch(running, gone.signal);
    });
  }

  /** Only the serving epoch owns the admin's address; during a replacement no epoch is at fault for not answering. */
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
    void this.#processes.get(id)?.spawned.ended.then(() => gone.abort());
    const cut = AbortSignal.any([gone.signal, this.#drainSkipped.signal, hurry, force]);
    await drainAndWait({ ...this.#options, clock: this.#clock }, cut);
    this.#happens({ kind: "drained" });
  }

  #signal(children: readonly Child[], signal: NodeJS.Signals): void {
    const { log } = this.#options;
    for (const { id, pid } of children) {
      if (signal === "SIGKILL") log.warn("Killing Envoy", { signal, pid });
      else log.info("Ending Envoy", { signal, pid });
      this.#processes.get(id)?.spawned.kill(signal);
    }
  }

  async #wait(ms: number, isHurried: boolean): Promise<void> {
    this.#timer.abort();
    this.#timer = new AbortController();
    const { signal } = this.#timer;
    const { hurry, force } = this.#options.signals;
    const cut = AbortSignal.any([signal, force, ...(isHurried ? [hurry] : [])]); // a third signal ends every patience
    await pause(ms, cut, this.#clock);
    if (!signal.aborted) this.#happens({ kind: "time is up" });
  }
}
