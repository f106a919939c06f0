import { randomInt } from "node:crypto";
import { open, rm } from "node:fs/promises";
import { systemCode } from "../../base/index.ts";

// What Envoys of one hot restart share: a number, from which they name their shared memory and their sockets.
// Source: envoyproxy/envoy source/server/hot_restart_impl.cc.

/** A base id that no other Envoy of this machine has, as good as surely; a cold start takes a new one. */
export function newBaseId(): number {
  return randomInt(1, 2 ** 28);
}

/** The arguments of one epoch. `parentShutdownSeconds`: how long its predecessor may drain. */
export function epochArguments(baseId: number, epoch: number, parentShutdownSeconds: number): string[] {
  return [
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
 * would refuse to start. Does nothing where there is no such file, or one of another shape.
 */
export async function forgetFailedEpoch(baseId: number): Promise<void> {
  try {
    const file = await open(sharedMemory(baseId), "r+");
    try {
      if ((await file.stat()).size === SIZE) await file.write(Buffer.alloc(SIZE - FLAGS_AT), 0, undefined, FLAGS_AT);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (systemCode(error) !== "ENOENT") throw error;
  }
}

/** Removes what Envoy leaves in memory when the last epoch has ended. */
export async function removeSharedMemory(baseId: number): Promise<void> {
  await rm(sharedMemory(baseId), { force: true });
}

function sharedMemory(baseId: number): string {
  return `/dev/shm/envoy_shared_memory_${baseId}0`;
}
