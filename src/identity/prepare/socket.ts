import { connect as connectSocket } from "node:net";
import { join, resolve } from "node:path";
import {
  AgentError,
  type Clock,
  type DeadSocket,
  describeError,
  lookAtSocketPlace,
  removeDeadSocket,
  type SocketPlace,
  shortSocketPath,
  systemClock,
} from "../../base/index.ts";
import { PATHS, refusedSocketName } from "../../istio/index.ts";

export interface SocketOptions {
  readonly cwd: string;
  /** `WORKLOAD_IDENTITY_SOCKET_FILE`: a file name. */
  readonly fileName: string;
  /** How long to wait for another program's socket of another than the default name. Default 0. */
  readonly waitMs?: number;
  readonly clock?: Clock;
}

/** What to listen on. */
export interface SocketPlan {
  /** Absolute. */
  readonly path: string;
  /** Permission bits for folders to be created. */
  readonly folderMode: number;
  /** True: another program answers for the workload's secrets on its socket, and we only serve files. */
  readonly isFilesOnly: boolean;
}

const DEFAULT_NAME = "socket";
const PROBE_MS = 1_000;
const POLL_MS = 200;

/** Source: istio/istio pkg/uds/listener.go. */
const FOLDER_MODE = 0o750;

/**
 * Decides where to serve SDS; nothing is changed. A live socket of another program (SPIRE, for example) at the workload's
 * place is used, also through a link. Anything else at the default name is for `bindUnix` to judge, which removes only
 * a dead socket. Rejects with CONFIG_INVALID when the name is a path, and with SDS_SOCKET_MISSING when a socket of
 * another name is not answering. Source: istio/istio pkg/istio-agent/agent.go (initSdsServer).
 */
export async function decideSdsSocket(options: SocketOptions): Promise<SocketPlan> {
  const { cwd, fileName } = options;
  const refused = refusedSocketName(fileName);
  if (refused !== undefined) throw new AgentError("CONFIG_INVALID", `${refused.name}: ${refused.message}`);
  const path = resolve(cwd, join(PATHS.workloadSocketFolder, fileName));
  if (fileName === DEFAULT_NAME) {
    const { kind } = await look(path);
    if (kind !== "alive" || !(await speaksHttp2(path))) return { path, folderMode: FOLDER_MODE, isFilesOnly: false };
  } else {
    await waitUntilServed(path, options);
  }
  return { path: resolve(cwd, PATHS.filesSocket), folderMode: FOLDER_MODE, isFilesOnly: true };
}

/**
 * Whether another program serves credentials for gateways. A dead socket is removed where `mayRemove` says so; anything
 * else stays. Rejects with FILE_UNWRITABLE.
 */
export async function hasCredentialSocket(cwd: string, { mayRemove }: { mayRemove: boolean }): Promise<boolean> {
  const path = resolve(cwd, PATHS.credentialSocket);
  const place = await look(path);
  if (place.kind === "alive") return speaksHttp2(path);
  if (place.kind === "dead" && mayRemove) await remove(path, place.found);
  return false;
}

/** A socket with another name belongs to another program: the agent waits for it and never removes it. */
async function waitUntilServed(path: string, { waitMs = 0, clock = systemClock }: SocketOptions): Promise<void> {
  const giveUpAtMs = clock.now() + waitMs;
  for (;;) {
    const place = await look(path);
    if (place.kind === "alive" && (await speaksHttp2(path))) return;
    if (clock.now() >= giveUpAtMs) throw notServed(path, place);
    await clock.sleep(POLL_MS);
  }
}

function notServed(path: string, place: SocketPlace): AgentError {
  const states = {
    absent: "no socket found",
    dead: "no process answers there",
    alive: "the server there does not speak SDS",
  };
  const state = place.kind === "other" ? `there is ${place.what}` : states[place.kind];
  return new AgentError(
    "SDS_SOCKET_MISSING",
    `agent configured for non-default SDS socket path: ${path} but ${state}`,
    {
      hint: "Start the program that provides workload identities first, or leave WORKLOAD_IDENTITY_SOCKET_FILE at its default",
    },
  );
}

/** A folder that cannot be entered holds no socket that we could use. */
async function look(path: string): Promise<SocketPlace> {
  try {
    return await lookAtSocketPlace(path);
  } catch (error) {
    return { kind: "other", what: `a place that cannot be looked at (${describeError(error)})` };
  }
}

async function remove(path: string, found: DeadSocket): Promise<void> {
  try {
    await removeDeadSocket(path, found);
  } catch (error) {
    throw new AgentError("FILE_UNWRITABLE", `existing SDS socket could not be removed: "${path}"`, { cause: error });
  }
}

/**
 * Whether an HTTP/2 server greets us within a second: its first frame is SETTINGS (RFC 9113 section 3.4). Accepting the
 * connection is not enough, a program that hangs does that, too.
 */
function speaksHttp2(path: string): Promise<boolean> {
  const SETTINGS = 4;
  const preface = Buffer.concat([
    Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    Buffer.from([0, 0, 0, SETTINGS, 0, 0, 0, 0, 0]), // our own, empty
  ]);
  const short = shortSocketPath(path);
  return new Promise((done) => {
    const socket = connectSocket({ path: short });
    const timer = setTimeout(() => finish(false), PROBE_MS);
    const finish = (isAnswered: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      done(isAnswered);
    };
    let received = Buffer.alloc(0);
    socket.on("connect", () => socket.write(preface));
    socket.on("data", (bytes) => {
      received = Buffer.concat([received, bytes]);
      if (received.length >= 9) finish(received[3] === SETTINGS);
    });
    socket.on("error", () => finish(false));
    socket.on("close", () => finish(false));
  });
}
