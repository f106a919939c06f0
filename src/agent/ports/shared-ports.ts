import type { Logger } from "../../base/index.ts";
import { portSharers } from "../../host/index.ts";

/**
 * Warns of addresses on which another process listens beside our Envoy. SO_REUSEPORT lets two Envoys have one, of two agents
 * with the same listeners for example, and the kernel gives each connection to either. Linux only. Never rejects.
 */
export async function warnOfSharedPorts(envoyPid: number, log: Logger): Promise<void> {
  for (const [port, others] of await portSharers(envoyPid)) {
    const who = others.map(({ pid, program }) => `${program} (pid ${pid})`).join(" and ");
    log.warn(`Envoy shares port ${port} with ${who}: a connection reaches either of them`, {
      hint: "Give one of the two agents other listeners, or stop it",
    });
  }
}
