import { bindTcp, connectionLimit, stoppedOr } from "../base/index.ts";
import type { ControlPlane, ControlPlaneOptions } from "./control-plane.ts";

/** A workload has two or three. */
const MOST_CONNECTIONS = 4_096;

/**
 * Starts the control plane. Rejects with RESOURCES_INVALID for a bad file, ADDRESS_IN_USE for a taken port,
 * CA_FOLDER_INVALID for an unusable CA, STOPPED when `stop` comes first. Everything heavy (Envoy's descriptors, gRPC) is loaded here and not before.
 */
export async function startControlPlane(options: ControlPlaneOptions, stop: AbortSignal): Promise<ControlPlane> {
  const { most } = connectionLimit(MOST_CONNECTIONS);
  const limit = { most, mostPerPeer: most }; // a mesh on one machine has one address
  const socket = await bindTcp(options.host ?? "127.0.0.1", options.port ?? 0, { limit });
  try {
    const { serveControlPlane } = await import("./serve-control-plane.ts");
    return await serveControlPlane(socket, options, stop);
  } catch (error) {
    await socket[Symbol.asyncDispose]();
    throw stoppedOr(error, stop);
  }
}
