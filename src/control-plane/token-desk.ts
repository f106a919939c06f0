import { readdir } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import {
  AgentError,
  bindUnix,
  describeError,
  judgeFolder,
  lookAtSocketPlace,
  removeDeadSocket,
  Secret,
  shortSocketPath,
  trustedUsers,
} from "../base/index.ts";
import type { Workload } from "./callers/tokens.ts";
import type { ControlPlane } from "./control-plane.ts";

/** What a workload needs to join. */
export interface Credentials {
  readonly token: Secret;
  /** PEM of the roots. */
  readonly rootPem: string;
}

export interface TokenWish {
  readonly workload: Workload;
  /** Lifetime; undefined leaves it to the control plane. */
  readonly ttlMs: number | undefined;
}

/** A control plane that runs here. */
export interface RunningControlPlane {
  readonly pid: number;
  readonly port: number;
  readonly socket: string;
}

/** Two names and a number. */
const MOST_QUESTION = 4_096;
/** A token and some roots. */
const MOST_ANSWER = 2 ** 20;
/** For a whole line, however it drips. */
const LIMIT_MS = 10_000;
/** Each asks for a moment; the oldest gives way to the next. */
const MOST_ASKING = 16;
const NAME = /^(\d+)-(\d+)\.sock$/;

/**
 * Lets other processes of this user ask a control plane for tokens, over a socket in `folder` that other users cannot open.
 * Rejects with FILE_UNWRITABLE or SOCKET_PATH_TOO_LONG.
 */
export async function openTokenDesk(controlPlane: ControlPlane, folder: string): Promise<AsyncDisposable> {
  const path = join(folder, `${controlPlane.port}-${process.pid}.sock`);
  const socket = await bindUnix(path, { limit: { most: MOST_ASKING, mostPerPeer: MOST_ASKING } });
  socket.handOver(
    (connection) => {
      void answer(connection, controlPlane).catch(() => connection.destroy()); // who asked has left, or asks nonsense
    },
    () => 1,
  );
  return socket;
}

async function answer(connection: Socket, controlPlane: ControlPlane): Promise<void> {
  const { namespace, serviceAccount, ttlMs } = JSON.parse(await readLine(connection, MOST_QUESTION)) as Workload & {
    ttlMs?: number;
  };
  const token = await controlPlane.mintToken({ namespace, serviceAccount }, ttlMs);
  connection.end(`${JSON.stringify({ token: token.revealText(), rootPem: controlPlane.rootPem })}\n`);
}

/**
 * Those that answer; the sockets of those that were killed are removed. Rejects with UNTRUSTED_PATH where another user
 * could have put a socket: who answers there says which root to trust.
 */
export async function findControlPlanes(folder: string): Promise<RunningControlPlane[]> {
  await judgeFolder(folder, trustedUsers());
  const names = await readdir(folder).catch(() => []);
  const found = await Promise.all(
    names.map(async (name) => {
      const [, port, pid] = NAME.exec(name) ?? [];
      const socket = join(folder, name);
      return port !== undefined && (await isAnswered(socket)) ? [{ pid: Number(pid), port: Number(port), socket }] : [];
    }),
  );
  return found.flat().sort((a, b) => a.port - b.port);
}

/** Rejects with REQUEST_FAILED. */
export async function askForToken(from: RunningControlPlane, { workload, ttlMs }: TokenWish): Promise<Credentials> {
  try {
    const connection = await open(from.socket);
    connection.write(`${JSON.stringify({ ...workload, ttlMs })}\n`);
    const { token, rootPem } = JSON.parse(await readLine(connection, MOST_ANSWER)) as {
      token: string;
      rootPem: string;
    };
    return { token: new Secret(token), rootPem };
  } catch (error) {
    const text = `Cannot get a token of the control plane at port ${from.port} (pid ${from.pid}): ${describeError(error)}`;
    throw new AgentError("REQUEST_FAILED", text, { cause: error });
  }
}

async function isAnswered(path: string): Promise<boolean> {
  try {
    const place = await lookAtSocketPlace(path);
    if (place.kind === "dead") await removeDeadSocket(path, place.found);
    return place.kind === "alive";
  } catch {
    return false; // another one took its place, or it is not ours to look at
  }
}

function open(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const connection = connect({ path: shortSocketPath(path) });
    connection.once("error", reject).once("connect", () => resolve(connection));
  });
}

/** The first line that comes. Rejects when there is none within the limit, or a longer one than there should be. */
function readLine(connection: Socket, mostCharacters: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const parts: string[] = [];
    let length = 0;
    const fail = (why: string) => (): void => {
      connection.destroy();
      reject(new Error(why));
    };
    const limit = setTimeout(fail(`no whole line within ${LIMIT_MS / 1_000} s`), LIMIT_MS);
    connection.once("close", () => clearTimeout(limit));
    connection.setEncoding("utf8").on("data", (chunk: string) => {
      parts.push(chunk);
      length += chunk.length;
      if (length > mostCharacters) fail("the line is too long")();
      else if (chunk.includes("\n")) resolve(parts.join(""));
    });
    connection.once("error", reject).once("close", fail("the connection closed without an answer"));
  });
}
