import { randomInt } from "node:crypto";
import { AgentError, freePorts, systemCode, tryTcp } from "../../base/index.ts";

/**
 * Below the ephemeral ports of Linux (32768) and macOS (49152), which outgoing connections use, and below the node ports
 * of Kubernetes (30000): another program does not get such a port by chance before Envoy binds it.
 */
const RANGE = { first: 20_000, end: 30_000 } as const;

/** Tries for each port; where most of the range is taken, ports are those that the system gives. */
const MOST_TRIES = 20;

/** `count` different ports of loopback that are free now and are not ephemeral. */
export async function choosePorts(count: number): Promise<number[]> {
  const chosen = new Set<number>();
  for (let tries = 0; chosen.size < count && tries < count * MOST_TRIES; tries++) {
    const port = randomInt(RANGE.first, RANGE.end);
    if (await isFree(port)) chosen.add(port);
  }
  return [...chosen, ...(await freePorts(count - chosen.size))];
}

function isFree(port: number): Promise<boolean> {
  return tryLoopback(port).then(
    () => true,
    () => false,
  );
}

/** A machine may have one of the two only. */
async function tryLoopback(port: number): Promise<void> {
  await tryTcp("127.0.0.1", port).catch(async (error: Error) => {
    if (systemCode(error.cause) !== "EADDRNOTAVAIL") throw error;
    await tryTcp("::1", port);
  });
}

/** Rejects with ADDRESS_IN_USE or ADDRESS_UNUSABLE when the requested port is not available. */
export async function checkWantedPort(port: number): Promise<void> {
  await tryLoopback(port).catch((error: unknown) => {
    if (!(error instanceof AgentError)) throw error;
    throw new AgentError(error.code, `Cannot use port ${port} for the listener "outbound"`, {
      hint: "Choose another one with --port, or leave it out to use a free one",
      cause: error,
    });
  });
}

/** The one of these ports that Envoy could not have at its start, by what it said. */
export function portThatWasTaken(said: string, ports: readonly number[]): number | undefined {
  const refused = /cannot bind '[^']*:(\d+)'[^\n]*Address already in use/.exec(said)?.[1];
  return ports.find((port) => String(port) === refused);
}
