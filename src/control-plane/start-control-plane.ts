import { bindTcp, connectionLimit, Lifetime, stoppedOr } from "../base/index.ts";
import type { ControlPlaneOptions, OpenControlPlane } from "./control-plane.ts";

/** A workload has two or three. */
const MOST_CONNECTIONS = 4_096;

/**
 * Starts the control plane. Rejects with RESOURCES_INVALID for a bad file, ADDRESS_IN_USE for a taken port,
 * CA_FOLDER_INVALID for an unusable CA, STOPPED when `stop` comes first. Everything heavy (Envoy's descriptors, gRPC) is loaded here and not before.
 */
export async function startControlPlane(options: ControlPlaneOptions, stop: AbortSignal): Promise<OpenControlPlane> {
  const { most } = connectionLimit(MOST_CONNECTIONS);
  const limit = { most, mostPerPeer: most }; // a mesh on one machine has one address
  const life = new Lifetime();
  const bind = (name: string, host: string, port: number) => life.own(name, bindTcp(host, port, { limit }));
  const bindIfAsked = (name: string, port: number | undefined) =>
    port === undefined ? Promise.resolve(undefined) : bind(name, LOOPBACK, port);
  try {
    const sockets = {
      socket: await bind("socket", options.host ?? LOOPBACK, options.port ?? 0),
      plaintext: await bindIfAsked("plaintext socket", options.plaintextPort),
      debug: await bindIfAsked("debug socket", options.debugPort),
    };
    const { serveControlPlane } = await import("./serve-control-plane.ts");
    return await serveControlPlane(sockets, life, options, stop);
  } catch (error) {
    await life[Symbol.asyncDispose]();
    throw stoppedOr(error, stop);
  }
}

const LOOPBACK = "127.0.0.1";
