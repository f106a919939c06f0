import { type Clock, describeError, type Logger, pause } from "../../base/index.ts";
import type { AdminClient } from "../admin-client.ts";
import type { SpawnOptions } from "./child.ts";
import type { Processes } from "./processes.ts";
import type { Child } from "./states.ts";
import { TERM_LIMIT_MS } from "./steps.ts";
import type { Replacement } from "./supervised-envoy.ts";

interface Replacing {
  readonly spawn: SpawnOptions;
  readonly settled: SpawnOptions;
  readonly done: (result: Replacement) => void;
  next: Child | undefined;
}

export interface ReplacementsOptions {
  readonly admin: AdminClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly parentShutdownSeconds: number;
  readonly processes: Processes;
}

const ADMIN_LIMIT_MS = 1_000;
/** What an epoch is given beyond the time after which its successor should have ended it. */
const RETIRE_RESERVE_MS = 5_000;

/** The hot restart that is under way, and what is left of the one before. */
export class Replacements {
  readonly #options: ReplacementsOptions;
  #current: Replacing | undefined;

  constructor(options: ReplacementsOptions) {
    this.#options = options;
  }

  /** What the next epoch is to be started with; undefined when none is wanted. */
  get spawn(): SpawnOptions | undefined {
    return this.#current?.spawn;
  }

  /** Undefined when one is under way already. */
  begin(spawn: SpawnOptions, settled: SpawnOptions): Promise<Replacement> | undefined {
    if (this.#current !== undefined) return undefined;
    return new Promise((done) => {
      this.#current = { spawn, settled, next: undefined, done };
    });
  }

  noteSpawn(next: Child): void {
    if (this.#current !== undefined) this.#current.next = next;
  }

  /** `child` has taken over from `old`. Gives what cold starts are to be started with from now on. */
  succeed(child: Child, old: Child | undefined): SpawnOptions | undefined {
    const settled = this.#current?.settled;
    const serving = this.#options.processes.get(child.id);
    if (serving !== undefined && settled !== undefined) serving.spawn = settled;
    if (old !== undefined) void this.#retire(old);
    this.#settle({ kind: "replaced", pid: child.pid, epoch: child.epoch });
    return settled;
  }

  async fail(reason: string, servingPid: number | undefined): Promise<void> {
    if (this.#current?.next !== undefined) await this.#cleanUp(servingPid);
    this.#settle({ kind: "refused", reason });
  }

  #settle(result: Replacement): void {
    const current = this.#current;
    this.#current = undefined;
    current?.done(result);
  }

  async #cleanUp(servingPid: number | undefined): Promise<void> {
    const { admin, log, processes } = this.#options;
    try {
      await processes.forgetFailedEpoch();
    } catch (error) {
      log.warn("The next hot restart may fail", { error: describeError(error) });
    }
    const serving = processes.ofPid(servingPid);
    if (serving === undefined) return;
    await admin.get("/ready", ADMIN_LIMIT_MS).catch((error: unknown) => {
      serving.isAdminLost = true;
      const fields = { error: describeError(error) };
      log.warn("Active Envoy lost its admin API; a successful hot restart restores it", fields);
    });
  }

  /** Its successor ends a replaced epoch. When the successor is gone, the agent has to, or no other epoch could follow. */
  async #retire({ id, pid }: Child): Promise<void> {
    const { clock, log, processes } = this.#options;
    const running = processes.get(id);
    if (running === undefined) return;
    const parentShutdownSeconds = running.spawn.drainLimitSeconds ?? this.#options.parentShutdownSeconds;
    running.drainsUntilMs = clock.now() + parentShutdownSeconds * 1_000;
    const gone = new AbortController();
    void running.spawned.ended.then(() => gone.abort());
    for (const [signal, afterMs] of [
      ["SIGTERM", parentShutdownSeconds * 1_000 + RETIRE_RESERVE_MS],
      ["SIGKILL", TERM_LIMIT_MS],
    ] as const) {
      await pause(afterMs, gone.signal, clock);
      if (gone.signal.aborted) return;
      log.warn("Previous Envoy outlived its parent-shutdown time; sending SIGTERM", { pid, signal });
      running.spawned.kill(signal);
    }
  }
}
