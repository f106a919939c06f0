import { type Clock, describeError, type Logger, systemClock } from "../../base/index.ts";
import { commandLineOf, ownerOf, startOf, wasStartedWith } from "../../host/index.ts";

/** By what an Envoy is known again after the agent that started it is gone. */
export interface EnvoyMark {
  readonly pid: number;
  /** `startOf` that process. */
  readonly start: string;
  /** Two words of its command line. */
  readonly binary: string;
  readonly configFile: string;
  /** The user that it runs as. */
  readonly uid?: number | undefined;
  /** The secret of the run, which it has in its environment. */
  readonly run?: string | undefined;
  /** With hot restart: what its shared memory is named by, which stays when it is killed. */
  readonly baseId?: number;
}

/** The variable by which each Envoy has the secret of the run that it belongs to. */
export const RUN_VARIABLE = "PILOTBOAT_RUN";

/** The mark of an Envoy that was just started; undefined when it has ended already. */
export async function markEnvoy(
  pid: number,
  command: Pick<EnvoyMark, "binary" | "configFile" | "run">,
): Promise<EnvoyMark | undefined> {
  const [start, uid, line = ""] = await Promise.all([startOf(pid), ownerOf(pid), commandLineOf(pid)]);
  if (start === undefined) return undefined;
  const baseId = / --base-id (\d+) /.exec(`${line} `)?.[1];
  return { pid, start, uid, ...command, ...(baseId === undefined ? {} : { baseId: Number(baseId) }) };
}

/**
 * Whether the process that was marked still runs: not another one that got its pid, nor one that somebody else wants to
 * have ended. Its start, its user and its environment are what no other user can make fit.
 */
export async function isSameEnvoy({ pid, start, binary, configFile, uid, run }: EnvoyMark): Promise<boolean> {
  if ((await startOf(pid)) !== start) return false;
  if (uid !== undefined && (await ownerOf(pid)) !== uid) return false;
  if (run !== undefined && (await wasStartedWith(pid, RUN_VARIABLE, run)) === false) return false;
  const command = ` ${await commandLineOf(pid)} `;
  return command.includes(` ${binary} `) && command.includes(` -c ${configFile} `);
}

/** Envoy ends within some 10 ms of SIGTERM when it is well. */
const TERM_LIMIT_MS = 2_000;
const KILL_LIMIT_MS = 2_000;
const LOOK_MS = 10;

/**
 * Ends an Envoy whose agent is gone: SIGTERM, then SIGKILL, and a look at who it is before each. Resolves when it is
 * gone, or after 4 s with a warning when it does not go. Never rejects.
 */
export async function endStaleEnvoy(mark: EnvoyMark, log: Logger, clock: Clock = systemClock): Promise<void> {
  if (!(await isSameEnvoy(mark))) return;
  const { pid, binary } = mark;
  for (const [signal, limitMs] of [
    ["SIGTERM", TERM_LIMIT_MS],
    ["SIGKILL", KILL_LIMIT_MS],
  ] as const) {
    try {
      process.kill(pid, signal);
    } catch (error) {
      if (!(await isSameEnvoy(mark))) break; // it ended between the look and the signal
      log.warn("Cannot stop the Envoy that an earlier agent left behind", { pid, error: describeError(error) });
      return;
    }
    if (await isGone(mark, limitMs, clock)) {
      log.info("Stopped the Envoy that an earlier agent left behind", { pid, signal, binary });
      return;
    }
  }
  if (await isSameEnvoy(mark)) log.warn("The Envoy that an earlier agent left behind does not exit", { pid, binary });
}

async function isGone({ pid, start }: EnvoyMark, limitMs: number, clock: Clock): Promise<boolean> {
  const until = clock.now() + limitMs;
  for (;;) {
    if ((await startOf(pid)) !== start) return true;
    if (clock.now() >= until) return false;
    await clock.sleep(LOOK_MS);
  }
}
