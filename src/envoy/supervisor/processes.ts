import type { Clock } from "../../base/index.ts";
import { type EnvoyChild, type SpawnOptions, spawnEnvoy } from "./child.ts";
import {
  epochArguments,
  forgetFailedEpoch,
  type HotRestartOptions,
  newBaseId,
  removeSharedMemory,
} from "./hot-restart.ts";
import type { Child } from "./states.ts";

/** A process of Envoy that was not seen to end yet. */
export interface Running {
  readonly child: Child;
  readonly spawned: EnvoyChild;
  /** With what it could be started now; a bootstrap gets its lasting name when its Envoy has taken over. */
  spawn: SpawnOptions;
  threads: string | undefined;
  /** A next epoch that failed had it closed already; it does not open again. */
  isAdminLost: boolean;
  /** When a replaced epoch is ended at the latest; undefined for the one that serves. */
  drainsUntilMs: number | undefined;
}

export interface ProcessesOptions {
  readonly clock: Clock;
  /** Undefined: hot restart is off, and the arguments say so. */
  readonly hotRestart: HotRestartOptions | undefined;
  /** Laid over the environment of each. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly onSpawn: (pid: number, spawn: SpawnOptions) => void;
}

/** The processes of one supervised Envoy, and what those of a hot restart share. */
export class Processes implements AsyncDisposable {
  readonly #options: ProcessesOptions;
  readonly #running = new Map<number, Running>();
  readonly #spawning = new Set<Promise<Running>>();
  #lastId = 0;
  #baseId: number | undefined;
  /** Whose Envoys run. */
  #uid: number | undefined;

  constructor(options: ProcessesOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#running.size;
  }

  /** How long replaced epochs may still drain; 0 when there is none. */
  get drainLeftMs(): number {
    const untilMs = Math.max(...[...this.#running.values()].map((one) => one.drainsUntilMs ?? 0), 0);
    return Math.max(0, untilMs - this.#options.clock.now());
  }

  get(id: number): Running | undefined {
    return this.#running.get(id);
  }

  ofPid(pid: number | undefined): Running | undefined {
    return [...this.#running.values()].find(({ child }) => child.pid === pid);
  }

  /** Epoch 0 is a cold start. Rejects as `spawnEnvoy` does. */
  async spawn(spawn: SpawnOptions, epoch: number): Promise<Running> {
    const spawning = this.#spawnNow(spawn, epoch);
    this.#spawning.add(spawning);
    try {
      return await spawning;
    } finally {
      this.#spawning.delete(spawning);
    }
  }

  async #spawnNow(spawn: SpawnOptions, epoch: number): Promise<Running> {
    const { clock, onSpawn, env } = this.#options;
    this.#uid = spawn.runAs?.uid;
    const spawned = await spawnEnvoy({
      ...spawn,
      env: { ...spawn.env, ...env },
      args: [...spawn.args, ...(await this.#epochArguments(epoch))],
    });
    const child = { id: ++this.#lastId, pid: spawned.pid, epoch, startedMs: clock.now() };
    const running: Running = {
      child,
      spawned,
      spawn,
      threads: undefined,
      isAdminLost: false,
      drainsUntilMs: undefined,
    };
    this.#running.set(child.id, running);
    void spawned.ended.then(() => this.#running.delete(child.id));
    onSpawn(child.pid, spawn);
    return running;
  }

  /** After an epoch that died before it was live: makes the next one possible. Rejects with a system error. */
  async forgetFailedEpoch(): Promise<void> {
    if (this.#baseId !== undefined) await forgetFailedEpoch(this.#baseId, this.#uid);
  }

  /** Waits until all are gone, and removes what they shared. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#spawning); // whoever comes too late is killed by the lifecycle
    await Promise.all([...this.#running.values()].map(({ spawned }) => spawned.ended));
    if (this.#baseId !== undefined) await removeSharedMemory(this.#baseId);
  }

  async #epochArguments(epoch: number): Promise<string[]> {
    const { hotRestart } = this.#options;
    if (hotRestart === undefined) return [];
    if (epoch === 0 || this.#baseId === undefined) {
      if (this.#baseId !== undefined) await removeSharedMemory(this.#baseId);
      this.#baseId = newBaseId();
    }
    const replaced = [...this.#running.values()].find(({ child }) => child.epoch === epoch - 1);
    const parentShutdownSeconds = replaced?.spawn.drainLimitSeconds ?? hotRestart.parentShutdownSeconds;
    return epochArguments(this.#baseId, epoch, { ...hotRestart, parentShutdownSeconds });
  }
}
