import { readFileSync } from "node:fs";
import type { Socket } from "node:net";

/** How many connections a listening socket keeps open. */
export interface ConnectionLimit {
  readonly most: number;
  /** From one address; clients of a UNIX socket have none. */
  readonly mostPerPeer: number;
}

/** How dispensable a connection is: 0 when it is being served, else the highest goes first, and of equals the oldest. */
export type Spare = (socket: Socket) => number;

const MOST = 256;
const LEAST = 16;
/** What the agent has open without any client, and more. */
const RESERVED_DESCRIPTORS = 64;

/**
 * What one listener of the agent may have, so that all of them together, and what they open for each connection, stay
 * below the limit of descriptors: a quarter of it after a reserve, from 16 to `atMost`, by default 256.
 */
export function connectionLimit(atMost = MOST, descriptors = descriptorLimit()): ConnectionLimit {
  const most = Math.min(atMost, Math.max(LEAST, Math.floor((descriptors - RESERVED_DESCRIPTORS) / 4)));
  return { most, mostPerPeer: Math.ceil(most / 2) };
}

/**
 * Whether `next` can be kept beside those that are open, the oldest of which is first. One that is dispensable is closed
 * for it: whoever comes with a request is served, however many connections somebody holds who sends none.
 */
export function makeRoom(
  next: Socket,
  open: ReadonlySet<Socket>,
  { limit, spare }: { readonly limit: ConnectionLimit; readonly spare: Spare },
): boolean {
  const all = [...open].filter((one) => !one.destroyed);
  const peers = all.filter((one) => one.remoteAddress === next.remoteAddress);
  const isCrowded = next.remoteAddress !== undefined && peers.length >= limit.mostPerPeer;
  const crowd = isCrowded ? peers : all.length >= limit.most ? all : [];
  if (crowd.length === 0) return true;
  const ranks = crowd.map(spare);
  const highest = Math.max(...ranks);
  if (highest === 0) return false;
  crowd[ranks.indexOf(highest)]?.destroy();
  return true;
}

/** RLIMIT_NOFILE as it is now; infinite where the system does not tell. */
function descriptorLimit(): number {
  try {
    const [, soft = ""] = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8")) ?? [];
    return soft === "" ? Number.POSITIVE_INFINITY : Number(soft);
  } catch {
    return Number.POSITIVE_INFINITY; // no Linux
  }
}
