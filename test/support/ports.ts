import { randomInt } from "node:crypto";
import { tryTcp } from "../../src/base/index.ts";

/**
 * Below the ephemeral ports (32768 on Linux), which outgoing connections of anybody use, and below those that `up`
 * chooses by itself (20000): nobody gets such a port by chance between its choice and the moment it is bound.
 */
const FIRST = 10_240;
/** For each file that runs at the same time: two of them never choose the same port. */
const SLICE = 600;
const SLICES = 16;

let next: number | undefined;

/** `count` different TCP ports that were free a moment ago; this process never gives one twice until its slice is used up. */
export async function freePorts(count: number, host = "127.0.0.1"): Promise<number[]> {
  const slice = Number(process.env.VITEST_POOL_ID ?? 0) % SLICES;
  const ports: number[] = [];
  for (let tries = 0; ports.length < count; tries++) {
    if (tries > SLICE) throw new Error(`none of ${SLICE} ports from ${FIRST + slice * SLICE} on is free`);
    next = ((next ?? randomInt(SLICE)) + 1) % SLICE;
    const port = FIRST + slice * SLICE + next;
    const free = await tryTcp(host, port).then(
      () => true,
      () => false,
    );
    if (free) ports.push(port);
  }
  return ports;
}
