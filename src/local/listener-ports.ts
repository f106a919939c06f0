import { choosePorts } from "../agent/ports/index.ts";
import { AgentError, systemCode, tryTcp } from "../base/index.ts";
import type { PlaceListener } from "../xds/index.ts";

/** A listener that is not where the control plane wants it. */
export interface MovedListener {
  readonly address: string;
  readonly from: number;
  readonly to: number;
  readonly why: string;
}

export interface ListenerPorts {
  readonly place: PlaceListener;
  /** In the order in which they came. */
  moved(): readonly MovedListener[];
  /** On which port of this machine Envoy has a port of the control plane. */
  portOf(port: number): number;
}

/** Added to a port that only root may have, when what comes out is free: 8080 for 80, 8443 for 443. */
const STEP = 8_000;
const FIRST_FREE_TO_ALL = 1_024;

/**
 * Keeps ports that this machine has and moves the others: those that need more rights, those that are taken (Envoys
 * would share them, and a connection would reach either), and those that are reserved. Inbound listeners of a sidecar are
 * left out: nobody sends here what is meant for the pod, whose address this machine does not have.
 */
export function listenerPorts(reserved: ReadonlySet<number>, { keepsInbound = false } = {}): ListenerPorts {
  const moved: MovedListener[] = [];
  const given = new Set<number>(); // Envoy binds them after the whole push, and they look free until then
  const isKept = (port: number): boolean => reserved.has(port) || given.has(port);
  const whyMoved = async (address: string, port: number): Promise<string | undefined> => {
    if (reserved.has(port)) return "left to your application";
    const isOwn = moved.some((one) => one.to === port);
    return isOwn ? "taken" : whyNot(address, port);
  };
  return {
    moved: () => moved,
    portOf: (port) => moved.find(({ from }) => from === port)?.to ?? port,
    async place({ address, port, isInbound }) {
      if (isInbound && !keepsInbound) return undefined;
      const why = await whyMoved(address, port);
      if (why === undefined) {
        given.add(port);
        return port;
      }
      const to = await nearest(address, port, isKept);
      given.add(to);
      moved.push({ address, from: port, to, why });
      return to;
    },
  };
}

async function nearest(address: string, port: number, isKept: (port: number) => boolean): Promise<number> {
  const near = port + STEP;
  if (port < FIRST_FREE_TO_ALL && !isKept(near) && (await whyNot(address, near)) === undefined) return near;
  const [chosen = near] = await choosePorts(1);
  return chosen;
}

/** Undefined where the port can be had, and where the address is none of this machine's, which Envoy tells best. */
async function whyNot(address: string, port: number): Promise<string | undefined> {
  try {
    await tryTcp(address, port);
    return undefined;
  } catch (error) {
    if (error instanceof AgentError && error.code === "ADDRESS_IN_USE") return "taken";
    const code = error instanceof Error ? systemCode(error.cause) : undefined;
    return code === "EACCES" ? "needs more rights" : undefined;
  }
}
