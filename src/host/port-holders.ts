import { readdir, readFile, readlink } from "node:fs/promises";

/** A process that listens on a port. */
export interface PortHolder {
  readonly pid: number;
  /** As `/proc/PID/comm` has it. */
  readonly program: string;
}

interface ListeningSocket {
  /** As the kernel's table has it; `*` for every address. */
  readonly address: string;
  readonly port: number;
  readonly inode: string;
}

/**
 * The processes that listen on these TCP ports, on any address. Linux only, and only as far as this user may look; elsewhere
 * nobody is found. Never rejects. Source: proc_pid_net(5), `/proc/net/tcp`.
 */
export async function portHolders(ports: readonly number[]): Promise<ReadonlyMap<number, readonly PortHolder[]>> {
  return holdersOf((await listeningSockets()).filter(({ port }) => ports.includes(port)));
}

/**
 * The other processes that listen on the same address and TCP port as this process, by port; only SO_REUSEPORT makes that
 * possible. A process on the same port of another address shares nothing. Limits as for `portHolders`.
 */
export async function portSharers(pid: number): Promise<ReadonlyMap<number, readonly PortHolder[]>> {
  const sockets = await listeningSockets();
  const own = (await holding(String(pid), sockets))?.held ?? [];
  const places = new Set(own.map(placeOf));
  const others = sockets.filter((socket) => places.has(placeOf(socket)) && !own.includes(socket));
  return holdersOf(others);
}

function placeOf({ address, port }: ListeningSocket): string {
  return `${address}:${port}`;
}

async function holdersOf(sockets: readonly ListeningSocket[]): Promise<ReadonlyMap<number, readonly PortHolder[]>> {
  const found = new Map<number, PortHolder[]>();
  if (sockets.length === 0) return found;
  const pids = (await readdir("/proc").catch(() => [])).filter((name) => /^\d+$/.test(name));
  for (const holder of await Promise.all(pids.map((pid) => holding(pid, sockets)))) {
    for (const port of new Set(holder?.held.map((socket) => socket.port))) {
      if (holder !== undefined) found.set(port, [...(found.get(port) ?? []), holder.holder]);
    }
  }
  return found;
}

const LISTEN = "0A";

async function listeningSockets(): Promise<ListeningSocket[]> {
  const tables = await Promise.all(
    ["tcp", "tcp6"].map((name) => readFile(`/proc/net/${name}`, "utf8").catch(() => "")),
  );
  return tables.flatMap((table) =>
    table.split("\n").flatMap((line) => {
      const [, local = "", , state, , , , , , inode = ""] = line.trim().split(/\s+/);
      const [address = "", port = ""] = local.split(":");
      if (state !== LISTEN) return [];
      return [{ address: /^0+$/.test(address) ? "*" : address, port: Number.parseInt(port, 16), inode }];
    }),
  );
}

async function holding(pid: string, sockets: readonly ListeningSocket[]) {
  try {
    const names = await readdir(`/proc/${pid}/fd`);
    const links = await Promise.all(names.map((name) => readlink(`/proc/${pid}/fd/${name}`).catch(() => "")));
    const open = new Set(links);
    const held = sockets.filter(({ inode }) => open.has(`socket:[${inode}]`));
    if (held.length === 0) return undefined;
    const program = (await readFile(`/proc/${pid}/comm`, "utf8")).trim();
    return { holder: { pid: Number(pid), program }, held };
  } catch {
    return undefined; // it is gone, or another user's
  }
}
