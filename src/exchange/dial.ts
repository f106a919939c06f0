import { once } from "node:events";
import { connect, isIP, type Socket } from "node:net";
import { systemCode } from "../base/index.ts";
import type { Destination } from "./destination.ts";

/** Connects to a port. Rejects with the system's error, or the reason of `signal`. */
export async function dial({ address, source }: Destination, port: number, signal: AbortSignal): Promise<Socket> {
  try {
    return await connectFrom(address, port, source, signal);
  } catch (error) {
    // `::6` is there once the redirection is set up, and from the loopback no other machine can be reached
    if (source === undefined || !["EADDRNOTAVAIL", "EINVAL"].includes(systemCode(error) ?? "")) throw error;
    return connectFrom(address, port, undefined, signal);
  }
}

async function connectFrom(
  host: string,
  port: number,
  source: string | undefined,
  signal: AbortSignal,
): Promise<Socket> {
  signal.throwIfAborted();
  const from = source === undefined ? {} : { localAddress: source, family: isIP(source) };
  const socket = connect({ host, port, ...from });
  try {
    await once(socket, "connect", { signal });
    return socket;
  } catch (error) {
    socket.on("error", () => undefined).destroy();
    throw signal.aborted ? signal.reason : error;
  }
}
