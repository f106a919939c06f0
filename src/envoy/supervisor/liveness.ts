import { type Clock, pause } from "../../base/index.ts";
import type { AdminClient } from "../admin-client.ts";

/**
 * The first wait, the longest while there is hurry, and the longest of all; each is half as long again as the one
 * before. An Envoy whose control plane is well is live within the hurry; one that waits for it may do so for hours.
 */
const POLL_MS = { first: 10, early: 50, most: 1_000 } as const;
const EARLY_MS = 2_000;
const LIMIT_MS = 1_000;

/**
 * Resolves with true once that epoch of Envoy serves, with false when `stop` aborts before. During a hot restart two
 * epochs share the admin's address, so the answer must come from the right one.
 */
export async function waitUntilLive(
  admin: AdminClient,
  epoch: number,
  clock: Clock,
  stop: AbortSignal,
): Promise<boolean> {
  const earlyUntilMs = clock.now() + EARLY_MS;
  for (let pollMs: number = POLL_MS.first; !stop.aborted; ) {
    try {
      if (epoch === 0) await admin.get("/ready", LIMIT_MS, stop);
      if (epoch === 0 || isLive(await admin.get("/server_info", LIMIT_MS, stop), epoch)) return true;
    } catch {
      // not yet: Envoy is booting, or waits for its first configuration
    }
    await pause(pollMs, stop, clock);
    pollMs = Math.min(clock.now() < earlyUntilMs ? POLL_MS.early : POLL_MS.most, pollMs * 1.5);
  }
  return false;
}

function isLive(serverInfo: string, epoch: number): boolean {
  const { state, command_line_options: options } = JSON.parse(serverInfo) as {
    readonly state?: string;
    readonly command_line_options?: { readonly restart_epoch?: number };
  };
  return state === "LIVE" && options?.restart_epoch === epoch;
}
