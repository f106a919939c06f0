import { isIP, type Socket } from "node:net";
import type { Secret } from "../base/index.ts";

const VERSION = 5;
const NO_LOGIN = 0;
const USER_AND_PASSWORD = 2;
const CONNECT = 1;
/** RFC 1928 section 6. */
const REFUSALS = [
  "",
  "general failure",
  "not allowed by its rules",
  "network unreachable",
  "host unreachable",
  "connection refused",
  "time to live expired",
  "command not supported",
  "address type not supported",
];

/**
 * Turns a connection to a SOCKS5 proxy into one to what is behind it; names are looked up by the proxy. Rejects with the
 * proxy's answer. It waits as long as its caller lets it. Sources: RFC 1928, RFC 1929.
 */
export async function connectThroughSocks(
  socket: Socket,
  { host, port }: { readonly host: string; readonly port: number },
  { credentials }: { readonly credentials: Secret | undefined },
): Promise<Socket> {
  const reader = readerOf(socket);
  try {
    const method = credentials === undefined ? NO_LOGIN : USER_AND_PASSWORD;
    socket.write(Buffer.from([VERSION, 1, method]));
    const [version, chosen] = await reader.take(2);
    if (version !== VERSION) throw new Error("the proxy does not speak SOCKS5");
    if (chosen !== method) throw new Error("the SOCKS5 proxy wants another kind of login");
    if (credentials !== undefined) await login(socket, reader, credentials);
    socket.write(
      Buffer.concat([Buffer.from([VERSION, CONNECT, 0]), addressOf(host), Buffer.from([port >> 8, port & 255])]),
    );
    const [, code = 1, , kind] = await reader.take(4);
    if (code !== 0) throw new Error(`the SOCKS5 proxy answered "${REFUSALS[code] ?? code}"`);
    const length = kind === 1 ? 4 : kind === 4 ? 16 : ((await reader.take(1))[0] ?? 0);
    await reader.take(length + 2);
    return socket;
  } finally {
    reader.close();
  }
}

async function login(socket: Socket, reader: Reader, credentials: Secret): Promise<void> {
  const text = credentials.reveal();
  const colon = text.indexOf(":");
  const [user, password] = [text.subarray(0, colon), text.subarray(colon + 1)];
  socket.write(Buffer.concat([Buffer.from([1, user.length]), user, Buffer.from([password.length]), password]));
  const [, status] = await reader.take(2);
  if (status !== 0) throw new Error("the SOCKS5 proxy does not accept user and password");
}

/** The type and the address. */
function addressOf(host: string): Buffer {
  if (isIP(host) === 4) return Buffer.from([1, ...host.split(".").map(Number)]);
  const name = Buffer.from(host);
  return Buffer.concat([Buffer.from([3, name.length]), name]);
}

interface Reader {
  take(bytes: number): Promise<Buffer>;
  close(): void;
}

/** Takes exact numbers of bytes; what follows stays in the socket. */
function readerOf(socket: Socket): Reader {
  let buffered = Buffer.alloc(0);
  let wanted:
    | { readonly bytes: number; readonly done: (part: Buffer) => void; readonly fail: (error: Error) => void }
    | undefined;
  const look = (): void => {
    if (wanted === undefined || buffered.length < wanted.bytes) return;
    const { bytes, done } = wanted;
    wanted = undefined;
    const part = buffered.subarray(0, bytes);
    buffered = buffered.subarray(bytes);
    done(part);
  };
  const read = (chunk: Buffer): void => {
    buffered = Buffer.concat([buffered, chunk]);
    look();
  };
  const close = (): void => wanted?.fail(new Error("the SOCKS5 proxy closed the connection"));
  socket.on("error", () => undefined); // "close" follows
  socket.on("data", read).on("close", close);
  return {
    take: (bytes) =>
      new Promise((done, fail) => {
        wanted = { bytes, done, fail };
        look();
      }),
    close() {
      socket.off("data", read).off("close", close).pause();
      if (buffered.length > 0) socket.unshift(buffered);
    },
  };
}
