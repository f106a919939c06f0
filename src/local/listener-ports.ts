import { choosePorts } from "../agent/ports/index.ts";
import { AgentError, systemCode, tryTcp } from "../base/index.ts";
import { loopbackOf, type PlaceListener } from "../xds/index.ts";

/** A listener that is not where the control plane wants it. */
export interface MovedListener {
  readonly address: string;
  readonly from: number;
  readonly to: number;
  readonly why: string;
}

/** Where a client on this machine reaches a listener. */
export interface ListenerAddress {
  readonly host: string;
  readonly port: number;
}

export interface ListenerPorts {
  readonly place: PlaceListener;
  /** In the order in which they came. */
  moved(): readonly MovedListener[];
  /** Whether a listener for every address of this machine was put on its loopback address. */
  isConfined(): boolean;
  /** Where Envoy has a port of the control plane. */
  at(port: number): ListenerAddress;
  /** Calls for each listener that is moved from now on. */
  onMoved(tell: (listener: MovedListener) => void): void;
}

export interface ListenerPortsOptions {
  /** Default false. */
  readonly keepsInbound?: boolean;
  /** Whether listeners may be open to other machines. Default false. */
  readonly isOpen?: boolean;
}

/** Added to a port that only root may have, when what comes out is free: 8080 for 80, 8443 for 443. */
const STEP = 8_000;
const FIRST_FREE_TO_ALL = 1_024;

/**
 * Keeps ports that this machine has and moves the others: those that need more rights, those that are taken (Envoys
 * would share them, and a connection would reach either), and those that are reserved. Inbound listeners of a sidecar are
 * left out: nobody sends here what is meant for the pod, whose address this machine does not have.
 */
export function listenerPorts(
  reserved: ReadonlySet<number>,
  { keepsInbound = false, isOpen = false }: ListenerPortsOptions = {},
): ListenerPorts {
  const moved: MovedListener[] = [];
  const given = new Set<number>(); // Envoy binds them after the whole push, and they look free until then
  const addresses = new Map<number, ListenerAddress>();
  let tell: (listener: MovedListener) => void = () => undefined;
  let isConfined = false;
  const isKept = (port: number): boolean => reserved.has(port) || given.has(port);
  const whyMoved = async (address: string, port: number): Promise<string | undefined> => {
    if (reserved.has(port)) return "left to your application";
    const isOwn = moved.some((one) => one.to === port);
    return isOwn ? "taken" : whyNot(address, port);
  };
  return {
    moved: () => moved,
    isConfined: () => isConfined,
    at: (port) => addresses.get(port) ?? { host: "127.0.0.1", port },
    onMoved(listen) {
      tell = listen;
    },
    async place({ address, port: from, isInbound }) {
      if (isInbound && !keepsInbound) return undefined;
      const host = loopbackOf(address);
      const bound = isOpen ? address : host;
      const why = await whyMoved(bound, from);
      const port = why === undefined ? from : await nearest(bound, from, isKept);
      given.add(port);
      addresses.set(from, { host, port });
      isConfined ||= bound !== address;
      if (why !== undefined) {
        const listener = { address, from, to: port, why };
        moved.push(listener);
        tell(listener);
      }
      return { port, isLoopback: !isOpen };
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
