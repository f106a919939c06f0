import { randomInt } from "node:crypto";
import { constants } from "node:fs";
import { open, rm } from "node:fs/promises";
import { systemCode } from "../../base/index.ts";

// What Envoys of one hot restart share: a number, from which they name their shared memory and their sockets.
// Source: envoyproxy/envoy source/server/hot_restart_impl.cc.

/** A base id that no other Envoy of this machine has, as good as surely; a cold start takes a new one. */
export function newBaseId(): number {
  return randomInt(1, 2 ** 28);
}

export interface HotRestartOptions {
  /** How long the predecessor of an epoch may drain, unless that was started with a limit of its own. */
  readonly parentShutdownSeconds: number;
  /**
   * Where the epochs meet: what the paths of their sockets begin with, as Envoy sees it. Whoever can connect there gets
   * the listening sockets and can end Envoy, so the folder must be closed to others. Without it they meet in the abstract
   * name space, which is open to everybody in the network namespace.
   */
  readonly socketPath?: string | undefined;
}

/** What Envoy puts behind `socketPath`, at its longest: it names its sockets by base id and epoch. */
export const LONGEST_SOCKET_SUFFIX = "_udp_parent_4294967295";

/** The arguments of one epoch. */
export function epochArguments(
  baseId: number,
  epoch: number,
  { parentShutdownSeconds, socketPath }: HotRestartOptions,
): string[] {
  const meeting = socketPath === undefined ? [] : ["--socket-path", socketPath, "--socket-mode", "600"];
  return [
    ...meeting,
    ...["--base-id", String(baseId)],
    ...["--restart-epoch", String(epoch)],
    ...["--parent-shutdown-time-s", String(parentShutdownSeconds)],
  ];
}

/** The shared memory is 104 bytes; its last eight are flags, of which the lowest says "an epoch is coming up". */
const FLAGS_AT = 96;
const SIZE = 104;

/**
 * Takes back the note that an epoch is coming up. One that dies before it is live leaves it set, and every later epoch
 * would refuse to start. Does nothing where no such file, or one of another shape or of another user than `uid`:
 * anybody may write into /dev/shm.
 */
export async function forgetFailedEpoch(baseId: number, uid?: number): Promise<void> {
  try {
    const file = await open(sharedMemory(baseId), constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const found = await file.stat();
      const isOurs = found.isFile() && found.size === SIZE && found.uid === (uid ?? process.geteuid?.());
      if (isOurs) await file.write(Buffer.alloc(SIZE - FLAGS_AT), 0, undefined, FLAGS_AT);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (!["ENOENT", "ELOOP"].includes(systemCode(error) ?? "")) throw error;
  }
}

/** Removes what Envoy leaves in memory when the last epoch has ended. */
export async function removeSharedMemory(baseId: number): Promise<void> {
  await rm(sharedMemory(baseId), { force: true });
}

function sharedMemory(baseId: number): string {
  return `/dev/shm/envoy_shared_memory_${baseId}0`;
}
