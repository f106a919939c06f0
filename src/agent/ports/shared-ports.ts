import type { Logger } from "../../base/index.ts";
import { portHolders, portsOf } from "../../host/index.ts";

/**
 * Warns of ports on which another process listens beside our Envoy. SO_REUSEPORT lets two Envoys have one, of two agents
 * with the same listeners for example, and the kernel gives each connection to either. Linux only. Never rejects.
 */
export async function warnOfSharedPorts(envoyPid: number, log: Logger): Promise<void> {
  const ports = await portsOf(envoyPid);
  for (const [port, holders] of await portHolders(ports)) {
    const others = holders.filter(({ pid }) => pid !== envoyPid);
    if (others.length === 0) continue;
    const who = others.map(({ pid, program }) => `${program} (pid ${pid})`).join(" and ");
    log.warn(`Envoy shares port ${port} with ${who}: a connection reaches either of them`, {
      hint: "Give one of the two agents other listeners, or end it",
    });
  }
}
