import { readFileSync } from "node:fs";
import type { Socket } from "node:net";

/** How many connections a listening socket keeps open. */
export interface ConnectionLimit {
  readonly most: number;
  /** From one address; clients of a UNIX socket have none. */
  readonly mostPerPeer: number;
  /** While some are so new that their first bytes cannot have been read yet. Default: `most`. */
  readonly mostAtOnce?: number;
}

/** How dispensable a connection is: 0 when it is being served, else the highest goes first, and of equals the oldest. */
export type Spare = (socket: Socket) => number;

const MOST = 256;
const LEAST = 16;
/** No more wait in the kernel of a usual Linux. Source: net.core.somaxconn. */
export const MOST_WAITING = 4_096;
/** What the agent has open without any client, and more. */
const RESERVED_DESCRIPTORS = 64;

/**
 * What one listener of the agent may have, so that all of them together, and what they open for each connection, stay
 * below the limit of descriptors: a quarter of it after a reserve, from 16 to `atMost`, by default 256; for a moment up to
 * 4,096, where that is an eighth.
 */
export function connectionLimit(atMost = MOST, descriptors = descriptorLimit()): ConnectionLimit {
  const free = descriptors - RESERVED_DESCRIPTORS;
  const most = Math.min(atMost, Math.max(LEAST, Math.floor(free / 4)));
  return {
    most,
    mostPerPeer: Math.ceil(most / 2),
    mostAtOnce: Math.max(most, Math.min(MOST_WAITING, Math.floor(free / 8))),
  };
}

/**
 * The open connections of a listener, oldest first. One that is dispensable is closed for a newer one: whoever comes with
 * a request is served, however many connections somebody holds who sends none. Many may come at once, and all of them are
 * accepted before the first is read: none is judged before that.
 */
export class ConnectionRoom {
  readonly #open = new Set<Socket>();
  /** By the turn of the event loop in which they came; those of which something may have been read by now are not here. */
  readonly #new = new Map<Socket, number>();
  #turn = 0;
  readonly #limit: Required<ConnectionLimit>;
  readonly #spare: Spare;

  constructor({ most, mostPerPeer, mostAtOnce = most }: ConnectionLimit, spare: Spare) {
    this.#limit = { most, mostPerPeer, mostAtOnce };
    this.#spare = spare;
  }

  /** False for a connection that is one too many while all others are served. */
  admits(next: Socket): boolean {
    const { most, mostPerPeer, mostAtOnce } = this.#limit;
    const isTight = mostAtOnce === most;
    if (isTight && !this.#makeRoom(next, most, mostPerPeer)) return false;
    if (!isTight && this.#open.size >= mostAtOnce && !this.#closeOldest()) return false;
    this.#open.add(next);
    next.once("close", () => {
      this.#open.delete(next);
      this.#new.delete(next);
    });
    if (isTight) return true;
    if (this.#new.size === 0) setImmediate(() => this.#nextTurn());
    this.#new.set(next, this.#turn);
    return true;
  }

  destroy(): void {
    for (const socket of this.#open) socket.destroy();
  }

  #makeRoom(next: Socket, most: number, mostPerPeer: number): boolean {
    if (this.#open.size < mostPerPeer) return true;
    const peers = [...this.#open].filter((one) => one.remoteAddress === next.remoteAddress);
    const isCrowded = next.remoteAddress !== undefined && peers.length >= mostPerPeer;
    const crowd = isCrowded ? peers : this.#open.size >= most ? [...this.#open] : [];
    return crowd.length === 0 || this.#close(crowd, 1) === 1;
  }

  #closeOldest(): boolean {
    for (const socket of this.#open) if (this.#spare(socket) > 0) return this.#close([socket], 1) === 1;
    return false;
  }

  /**
   * What came in a turn of the event loop is read in the next one, and judged after that. A crowd comes a few in each turn:
   * as long as it comes, it is judged when it is worth a look at all, not in every turn.
   */
  #nextTurn(): void {
    this.#turn++;
    for (const [socket, turn] of this.#new) if (this.#turn - turn > TURNS_UNTIL_READ) this.#new.delete(socket);
    if (this.#new.size === 0 || this.#open.size >= 2 * this.#limit.most) this.#trim();
    if (this.#new.size > 0) setImmediate(() => this.#nextTurn());
  }

  #trim(): void {
    const { most, mostPerPeer } = this.#limit;
    if (this.#open.size <= mostPerPeer) return;
    const byPeer = new Map<string, Socket[]>();
    for (const socket of this.#open) {
      const peer = socket.remoteAddress;
      if (peer === undefined) continue;
      const list = byPeer.get(peer) ?? [];
      list.push(socket);
      byPeer.set(peer, list);
    }
    for (const list of byPeer.values()) this.#close(list, list.length - mostPerPeer);
    this.#close([...this.#open], this.#open.size - most);
  }

  /** Closes that many of these, the most dispensable first and of equals the oldest, as far as it may. */
  #close(sockets: readonly Socket[], count: number): number {
    if (count <= 0) return 0;
    const judged = sockets
      .filter((socket) => !this.#new.has(socket) || sockets.length === 1)
      .map((socket) => ({ socket, rank: this.#spare(socket) }))
      .filter(({ rank }) => rank > 0)
      .sort((a, b) => b.rank - a.rank) // keeps the order of equals
      .slice(0, count);
    for (const { socket } of judged) {
      this.#open.delete(socket);
      this.#new.delete(socket);
      socket.destroy();
    }
    return judged.length;
  }
}

const TURNS_UNTIL_READ = 1;

/** RLIMIT_NOFILE as it is now; infinite where the system does not tell. */
function descriptorLimit(): number {
  try {
    const [, soft = ""] = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8")) ?? [];
    return soft === "" ? Number.POSITIVE_INFINITY : Number(soft);
  } catch {
    return Number.POSITIVE_INFINITY; // no Linux
  }
}
