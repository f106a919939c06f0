import { chmod, stat, unlink } from "node:fs/promises";
import { type AddressInfo, connect, createServer, type ListenOptions, type Server, type Socket } from "node:net";
import { dirname, relative } from "node:path";
import { AgentError, describeError, systemCode } from "./errors.ts";
import { makeFolder } from "./files.ts";

/**
 * A listening socket whose connections nobody serves yet. What arrives early waits, unread, until `handOver`.
 * That lets the agent bind first and load the code that serves later.
 */
export interface BoundSocket extends AsyncDisposable {
  /** `host:port` as really bound, or the path of a UNIX socket. */
  readonly address: string;
  /** The bound port; 0 for a UNIX socket. */
  readonly port: number;
  /** Gives every connection, early ones first, to `accept`. Call it once. */
  handOver(accept: (socket: Socket) => void): void;
}

/** Linux allows 107 bytes and a terminating zero, macOS 103. */
const LONGEST_SOCKET_PATH = process.platform === "darwin" ? 103 : 107;

export interface UnixOptions {
  /** Permission bits of the socket file. Default 0600. */
  readonly mode?: number;
  /** Permission bits for folders that have to be created. Default 0700. */
  readonly folderMode?: number;
}

/**
 * Listens on a UNIX socket. A socket file that nobody answers on is replaced; one that is alive, and any other kind
 * of file, is left alone. Rejects with SOCKET_PATH_TOO_LONG, ADDRESS_IN_USE or FILE_UNWRITABLE.
 */
export async function bindUnix(path: string, options: UnixOptions = {}): Promise<BoundSocket> {
  const short = shortSocketPath(path);
  try {
    await makeFolder(dirname(path), options.folderMode);
    await removeStaleSocket(short);
    const bound = await listen({ path: short }, path);
    await chmod(path, options.mode ?? 0o600);
    return bound;
  } catch (error) {
    if (error instanceof AgentError) throw error;
    throw new AgentError("FILE_UNWRITABLE", `Cannot listen on socket "${path}": ${describeError(error)}`, {
      cause: error,
    });
  }
}

/** Listens on a TCP port; 0 takes a free one. Rejects with ADDRESS_IN_USE, naming the port. */
export async function bindTcp(host: string, port: number): Promise<BoundSocket> {
  return listen({ host, port }, `${host.includes(":") ? `[${host}]` : host}:${port}`);
}

/** Whether the port can be had now: listens on it for a moment. Rejects as `bindTcp` does. */
export async function tryTcp(host: string, port: number): Promise<void> {
  await (await bindTcp(host, port))[Symbol.asyncDispose]();
}

/** Whether the platform takes a socket path as it stands; Node 20 cuts a longer one off without a word. */
export function isSocketPathShort(path: string): boolean {
  return Buffer.byteLength(path) <= LONGEST_SOCKET_PATH;
}

/**
 * The path by which this process reaches the socket at `path`: the path itself, or the one from the working directory
 * where only that is short enough, as pilot-agent binds its relative paths. Throws SOCKET_PATH_TOO_LONG.
 */
export function shortSocketPath(path: string): string {
  if (isSocketPathShort(path)) return path;
  const fromHere = relative("", path);
  if (isSocketPathShort(fromHere)) return fromHere;
  const length = Buffer.byteLength(path);
  throw new AgentError(
    "SOCKET_PATH_TOO_LONG",
    `Cannot use socket "${path}": the path has ${length} bytes, at most ${LONGEST_SOCKET_PATH} are possible`,
    {
      hint: `Use a folder whose path is at least ${length - LONGEST_SOCKET_PATH} bytes shorter, with --run-folder, or start in this one`,
    },
  );
}

/** `count` TCP ports that were free a moment ago on `host`. */
export async function freePorts(count: number, host = "127.0.0.1"): Promise<number[]> {
  const bound = await Promise.all(Array.from({ length: count }, () => bindTcp(host, 0)));
  const ports = bound.map((socket) => socket.port);
  await Promise.all(bound.map((socket) => socket[Symbol.asyncDispose]()));
  return ports;
}

/**
 * Splits `host:port`; brackets around the host are removed. Returns the reason as text when that is impossible, in
 * the words of Go's net.SplitHostPort, which users know from pilot-agent.
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
  if (colon < 0) return `address ${address}: missing port in address`;
  const host = address.slice(0, colon);
  if (host.includes(":")) return `address ${address}: too many colons in address`;
  if (/[[\]]/.test(address)) return `address ${address}: unexpected '${/[[\]]/.exec(address)?.[0]}' in address`;
  return { host, port: address.slice(colon + 1) };
}

async function removeStaleSocket(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new AgentError(
      "ADDRESS_IN_USE",
      `Cannot listen on socket "${path}": a file that is not a socket is in the way`,
    );
  }
  if (await isAnswered(path)) {
    throw new AgentError("ADDRESS_IN_USE", `Cannot listen on socket "${path}": in use, another process answers on it`, {
      hint: "Stop the other agent, or start this one in another folder",
    });
  }
  await unlink(path);
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect({ path });
    probe.once("connect", () => resolve(true)).once("error", () => resolve(false));
    probe.once("connect", () => probe.destroy());
  });
}

function listen(where: ListenOptions, shown: string): Promise<BoundSocket> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    const open = new Set<Socket>();
    let waiting: Socket[] | undefined = [];
    let accept = (socket: Socket): void => void waiting?.push(socket);
    server.on("connection", (socket) => {
      open.add(socket);
      socket.on("error", () => socket.destroy()); // a client that leaves before anyone serves it is no event
      socket.once("close", () => open.delete(socket));
      accept(socket);
    });
    server.once("error", (error) => reject(listenError(error, shown)));
    server.listen(where, () => {
      resolve({
        ...boundAddress(server, shown),
        handOver(next) {
          accept = next;
          for (const socket of waiting ?? []) if (!socket.destroyed) next(socket);
          waiting = undefined;
        },
        [Symbol.asyncDispose]: () => close(server, open),
      });
    });
  });
}

function boundAddress(server: Server, shown: string): { address: string; port: number } {
  const bound = server.address() as AddressInfo | string;
  if (typeof bound === "string") return { address: shown, port: 0 };
  return { address: shown.replace(/:\d+$/, `:${bound.port}`), port: bound.port };
}

function close(server: Server, open: ReadonlySet<Socket>): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve()); // an already closed server is fine
    for (const socket of open) socket.destroy();
  });
}

function listenError(error: Error, shown: string): AgentError {
  if (systemCode(error) === "EADDRINUSE") {
    return new AgentError("ADDRESS_IN_USE", `Cannot listen on "${shown}": in use by another process`, { cause: error });
  }
  return new AgentError("FILE_UNWRITABLE", `Cannot listen on "${shown}": ${describeError(error)}`, { cause: error });
}
