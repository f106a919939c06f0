import { type Clock, pause, poll } from "../../base/index.ts";
import type { AdminClient } from "../admin-client.ts";

const LIMIT_MS = 1_000;
/** No Envoy answers earlier, nothing needs to know earlier that the first epoch is live, and the boot needs the processor. */
const FIRST_MS = 50;
const FIRST_PACE = { firstMs: FIRST_MS, hurryMs: 1_000, factor: 1.2, mostMs: 1_000 };

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
  const look = async (): Promise<boolean> => {
    try {
      if (epoch === 0) await admin.get("/ready", LIMIT_MS, stop);
      return epoch === 0 || isLive(await admin.get("/server_info", LIMIT_MS, stop), epoch);
    } catch {
      return false; // Envoy is booting, or waits for its first configuration
    }
  };
  if (epoch === 0) await pause(FIRST_MS, stop, clock);
  return poll(look, { stop, clock, ...(epoch === 0 ? { pace: FIRST_PACE } : {}) });
}

function isLive(serverInfo: string, epoch: number): boolean {
  const { state, command_line_options: options } = JSON.parse(serverInfo) as {
    readonly state?: string;
    readonly command_line_options?: { readonly restart_epoch?: number };
  };
  return state === "LIVE" && options?.restart_epoch === epoch;
}
