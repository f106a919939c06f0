import { type BigIntStats, lstatSync, unlinkSync } from "node:fs";
import { readlink, stat } from "node:fs/promises";
import { connect } from "node:net";
import { basename, dirname } from "node:path";
import { AgentError, describeError, systemCode } from "./errors.ts";
import { kindOfPlace } from "./read-file.ts";
import { shortSocketPath } from "./socket-path.ts";
import { holdFolder } from "./trust.ts";

/** The socket file that was found dead; by it is seen whether another one takes its place. */
export type DeadSocket = BigIntStats;

/**
 * What stands where a UNIX socket is wanted. `dead` is a socket file that refuses connections, which proves that nobody
 * listens; anything in doubt is `other`, with `what` as words for people.
 */
export type SocketPlace =
  | { readonly kind: "absent" }
  | { readonly kind: "alive" }
  | { readonly kind: "dead"; readonly found: DeadSocket }
  | { readonly kind: "other"; readonly what: string };

/** A live socket accepts at once; one whose queue is full may not. */
const PROBE_MS = 1_000;

/** Looks without changing anything. Rejects with the system's error when the folder cannot be entered. */
export async function lookAtSocketPlace(path: string): Promise<SocketPlace> {
  const found = statOrAbsent(path);
  if (found === undefined) return { kind: "absent" };
  if (found.isSymbolicLink()) return lookThroughLink(path);
  if (!found.isSocket()) return { kind: "other", what: kindOfPlace(found) ?? "a regular file" };
  const refusal = await probe(path);
  if (refusal === undefined) return { kind: "alive" };
  if (refusal.code === "ECONNREFUSED") return { kind: "dead", found };
  if (refusal.code === "ENOENT") return { kind: "absent" }; // its owner just removed it
  return { kind: "other", what: `a socket that may be in use (${refusal.text})` };
}

/**
 * Makes the path free for a new socket: only a dead socket is removed. Rejects with ADDRESS_IN_USE for everything else,
 * naming it, or with the system's error.
 */
export async function clearSocketPlace(path: string): Promise<void> {
  const place = await lookAtSocketPlace(path);
  if (place.kind === "absent") return;
  if (place.kind === "dead") return removeDeadSocket(path, place.found);
  throw socketInUse(path, place.kind === "other" ? place.what : undefined);
}

/** ADDRESS_IN_USE for a socket; `inTheWay`: words for what is there, undefined when it answers. */
export function socketInUse(path: string, inTheWay: string | undefined): AgentError {
  const [what, hint] =
    inTheWay === undefined
      ? ["in use, another process answers on it", "Stop the other agent, or start this one in another folder"]
      : [
          `${inTheWay} blocks the path`,
          "Remove it, or choose another place; the agent removes only sockets without a listener",
        ];
  return new AgentError("ADDRESS_IN_USE", `Cannot listen on socket "${path}": ${what}`, { hint });
}

/**
 * Removes the socket that was found dead, unless another one took its place meanwhile, which may be alive. Rejects with
 * ADDRESS_IN_USE then, or with the system's error.
 */
export async function removeDeadSocket(path: string, found: DeadSocket): Promise<void> {
  await using folder = await holdFolder(dirname(path));
  const place = folder.at(basename(path));
  const now = statOrAbsent(place);
  if (now === undefined) return;
  if (now.ino !== found.ino || now.dev !== found.dev || now.ctimeNs !== found.ctimeNs) {
    throw socketInUse(path, "a socket that another process just made");
  }
  try {
    unlinkSync(place);
  } catch (error) {
    if (systemCode(error) !== "ENOENT") throw error; // else another one was quicker to remove it
  }
}

/** A live socket may be reached by a link; the link itself is never taken for a socket, so it is never removed. */
async function lookThroughLink(path: string): Promise<SocketPlace> {
  const target = await readlink(path).catch(() => "?");
  const found = await stat(path).catch(() => undefined); // leads nowhere, or in a circle
  const what = (leadsTo: string): SocketPlace => ({ kind: "other", what: `a link to "${target}", ${leadsTo},` });
  if (found === undefined) return what("whose target does not exist");
  if (!found.isSocket()) return what(kindOfPlace(found) ?? "a regular file");
  const refusal = await probe(path);
  return refusal === undefined ? { kind: "alive" } : what(`a socket that does not answer (${refusal.text})`);
}

/** Throws the system's error for a folder that cannot be entered. */
function statOrAbsent(path: string): BigIntStats | undefined {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false }); // ENOENT and ENOTDIR are no entry
}

interface Refusal {
  readonly code: string | undefined;
  readonly text: string;
}

/** Undefined when a program accepts the connection. */
function probe(path: string): Promise<Refusal | undefined> {
  const short = shortSocketPath(path);
  return new Promise((resolve) => {
    const socket = connect({ path: short });
    const finish = (refusal?: Refusal): void => {
      clearTimeout(limit);
      socket.destroy();
      resolve(refusal);
    };
    const limit = setTimeout(
      () => finish({ code: undefined, text: `no answer within ${PROBE_MS / 1_000}s` }),
      PROBE_MS,
    );
    socket.once("connect", () => finish());
    socket.on("error", (error) => finish({ code: systemCode(error), text: describeError(error) }));
  });
}
