import { type AddressInfo, createServer, type ListenOptions, type Server, type Socket } from "node:net";
import { dirname } from "node:path";
import { type ConnectionLimit, ConnectionRoom, MOST_WAITING, type Spare } from "./connection-limit.ts";
import { AgentError, describeError, systemCode } from "./errors.ts";
import { makeFolder, type Owner } from "./files.ts";
import { shortSocketPath } from "./socket-path.ts";
import { clearSocketPlace, socketInUse } from "./socket-place.ts";
import { openStage } from "./socket-stage.ts";

/**
 * A listening socket whose connections are not served yet. What arrives early waits, unread, until `handOver`.
 * That lets the agent bind first and load the code that serves later.
 */
export interface BoundSocket extends AsyncDisposable {
  /** `host:port` as really bound, or the path of a UNIX socket. */
  readonly address: string;
  /** The bound port; 0 for a UNIX socket. */
  readonly port: number;
  /** Gives every connection, early ones first, to `accept`. Call it once. `spare` ranks what a limit may close; default: nothing. */
  handOver(accept: (socket: Socket) => void, spare?: Spare): void;
}

export interface TcpOptions {
  /** A client that has sent its last byte still gets answers; the server ends the connection. Default: false. */
  readonly allowHalfOpen?: boolean;
  /** Default: as many as the process can have. */
  readonly limit?: ConnectionLimit | undefined;
}

export interface UnixOptions {
  /** Permission bits of the socket file, exactly, whatever the umask. Default 0600. */
  readonly mode?: number;
  /** The owner of the socket file. Default: the user that makes it. */
  readonly owner?: Owner | undefined;
  /** Permission bits for folders that have to be created. Default 0700. */
  readonly folderMode?: number;
  /** Default: as many as the process can have. */
  readonly limit?: ConnectionLimit | undefined;
}

/**
 * Listens on a UNIX socket. A socket file that refuses connections is replaced; one that may be alive, and any other
 * kind of file, is left alone. No process can connect before the socket has its mode and owner. Rejects with
 * SOCKET_PATH_TOO_LONG, ADDRESS_IN_USE, FILE_UNWRITABLE, or UNTRUSTED_PATH when a link of another user leads there.
 */
export async function bindUnix(path: string, options: UnixOptions = {}): Promise<BoundSocket> {
  shortSocketPath(path); // by a longer one no client would come
  try {
    await makeFolder(dirname(path), options.folderMode);
    await clearSocketPlace(path);
    return await bindOnStage(path, options);
  } catch (error) {
    if (error instanceof AgentError) throw error;
    throw new AgentError("FILE_UNWRITABLE", `Cannot listen on socket "${path}": ${describeError(error)}`, {
      cause: error,
    });
  }
}

async function bindOnStage(path: string, { mode = 0o600, owner, limit }: UnixOptions): Promise<BoundSocket> {
  await using stage = await openStage(path);
  const bound = await listen({ path: stage.path }, path, limit);
  try {
    const placed = await stage.place({ mode, owner });
    return {
      ...bound,
      async [Symbol.asyncDispose]() {
        await placed[Symbol.asyncDispose]();
        await bound[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await bound[Symbol.asyncDispose]();
    throw systemCode(error) === "EEXIST" ? socketInUse(path, "something that another process just made") : error;
  }
}

/** Listens on a TCP port; 0 takes a free one. Rejects with ADDRESS_IN_USE or ADDRESS_UNUSABLE, naming the port. */
export async function bindTcp(host: string, port: number, options: TcpOptions = {}): Promise<BoundSocket> {
  return listen({ host, port }, joinHostPort(host, port), options.limit, options.allowHalfOpen);
}

/** Whether the port can be had now: listens on it for a moment. Rejects as `bindTcp` does. */
export async function tryTcp(host: string, port: number): Promise<void> {
  await (await bindTcp(host, port))[Symbol.asyncDispose]();
}

/** `count` TCP ports that were free a moment ago on `host`. */
export async function freePorts(count: number, host = "127.0.0.1"): Promise<number[]> {
  const bound = await Promise.all(Array.from({ length: count }, () => bindTcp(host, 0)));
  const ports = bound.map((socket) => socket.port);
  await Promise.all(bound.map((socket) => socket[Symbol.asyncDispose]()));
  return ports;
}

/** `host:port`, with brackets around an IPv6 address. */
export function joinHostPort(host: string, port: number | string): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/**
 * Splits `host:port`; brackets around the host are removed. Returns the reason as text when that is impossible, in
 * the words of Go's net.SplitHostPort, which users know.
 */
export function splitHostPort(address: string): { readonly host: string; readonly port: string } | string {
  const colon = address.lastIndexOf(":");
  if (address.startsWith("[")) {
    const end = address.indexOf("]");
    if (end < 0) return `address ${address}: missing ']' in address`;
    if (end + 1 === address.length) return `address ${address}: missing port in address`;
    if (end + 1 !== colon)
      return `address ${address}: ${address[end + 1] === ":" ? "too many colons" : "missing port"} in address`;
    return { host: address.slice(1, end), port: address.slice(colon + 1) };
  }
  if (address === "") return "missing port in address";
  if (colon < 0) return `address ${address}: missing port in address`;
  const host = address.slice(0, colon);
  if (host.includes(":")) return `address ${address}: too many colons in address`;
  if (/[[\]]/.test(address)) return `address ${address}: unexpected '${/[[\]]/.exec(address)?.[0]}' in address`;
  return { host, port: address.slice(colon + 1) };
}

function listen(
  where: ListenOptions,
  shown: string,
  limit?: ConnectionLimit,
  allowHalfOpen = false,
): Promise<BoundSocket> {
  return new Promise((resolve, reject) => {
    const server = createServer({ allowHalfOpen });
    let waiting: Socket[] | undefined = [];
    let accept = (socket: Socket): void => void waiting?.push(socket);
    let spare: Spare = () => 1; // nobody is served yet
    const room = new ConnectionRoom(limit ?? NO_LIMIT, (socket) => spare(socket));
    server.on("connection", (socket) => {
      socket.on("error", () => socket.destroy()); // a client that leaves before anyone serves it is no event
      if (!room.admits(socket)) return void socket.destroy();
      accept(socket);
    });
    server.once("error", (error) => reject("path" in where ? error : tcpListenError(error, shown)));
    server.listen({ ...where, backlog: MOST_WAITING }, () => {
      resolve({
        ...boundAddress(server, shown),
        handOver(next, nextSpare = () => 0) {
          accept = next;
          spare = nextSpare;
          for (const socket of waiting ?? []) if (!socket.destroyed) next(socket);
          waiting = undefined;
        },
        [Symbol.asyncDispose]: () => close(server, room),
      });
    });
  });
}

const NO_LIMIT: ConnectionLimit = { most: Number.POSITIVE_INFINITY, mostPerPeer: Number.POSITIVE_INFINITY };

function boundAddress(server: Server, shown: string): { address: string; port: number } {
  const bound = server.address() as AddressInfo | string;
  if (typeof bound === "string") return { address: shown, port: 0 };
  return { address: shown.replace(/:\d+$/, `:${bound.port}`), port: bound.port };
}

function close(server: Server, room: ConnectionRoom): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve()); // an already closed server is fine
    room.destroy();
  });
}

function tcpListenError(error: Error, shown: string): AgentError {
  if (systemCode(error) === "EADDRINUSE") {
    return new AgentError("ADDRESS_IN_USE", `Cannot listen on "${shown}": in use by another process`, { cause: error });
  }
  const hint = LISTEN_HINTS[systemCode(error) ?? ""];
  const text = `Cannot listen on "${shown}": ${describeError(error)}`;
  return new AgentError("ADDRESS_UNUSABLE", text, { cause: error, ...(hint !== undefined && { hint }) });
}

/** By system code. */
const LISTEN_HINTS: Readonly<Record<string, string>> = {
  EACCES: "Ports below 1024 need root or CAP_NET_BIND_SERVICE; choose a higher one",
  EADDRNOTAVAIL: "No interface of this machine has the address; choose one that `ip address` lists",
  EAFNOSUPPORT: "This machine lacks that IP version; choose an address of the other one",
};
