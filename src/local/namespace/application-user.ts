import { readFile } from "node:fs/promises";
import { AgentError } from "../../base/index.ts";
import { runProgram } from "../../host/index.ts";
import { withSystemPath } from "./open-namespace.ts";

/** Who typed the command: root is wanted for the namespace alone. */
export interface ApplicationUser {
  readonly uid: number;
  readonly gid: number;
  /** Undefined where the user database has no entry. */
  readonly account: Account | undefined;
  /** What sudo says of a user without an account. Source: sudo(8), SUDO_USER and SUDO_HOME. */
  readonly said: { readonly name: string | undefined; readonly home: string | undefined };
}

interface Account {
  readonly name: string;
  readonly gid: number;
  readonly home: string;
  readonly shell: string;
}

type Env = Readonly<Record<string, string | undefined>>;

/**
 * The user who called sudo; undefined without sudo, or where that was root. An id that is set and cannot be read is never
 * taken for root: rejects with REDIRECT_NOT_POSSIBLE. Source: sudo(8), SUDO_UID and SUDO_GID.
 */
export async function applicationUser(env: Env, lookUp = passwdEntry): Promise<ApplicationUser | undefined> {
  if (!env.SUDO_UID) return undefined;
  const uid = idOf(env.SUDO_UID);
  if (uid === undefined) throw unreadable("SUDO_UID", env.SUDO_UID);
  if (uid === 0) return undefined;
  const account = accountOf(await lookUp(uid, env));
  const gid = idOf(env.SUDO_GID) ?? account?.gid;
  if (gid === undefined) throw unreadable("SUDO_GID", env.SUDO_GID);
  return { uid, gid, account, said: { name: env.SUDO_USER || undefined, home: env.SUDO_HOME || undefined } };
}

/** Words of `setpriv` that become the user, with the groups that the user has. */
export function userWords({ uid, gid, account }: ApplicationUser): readonly string[] {
  return [`--reuid=${uid}`, `--regid=${gid}`, account === undefined ? "--clear-groups" : "--init-groups"];
}

/** What sudo has changed, as the user's shell has it; nothing that names root is left. Undefined unsets a variable. */
export function userVariables({ account, said }: ApplicationUser): Env {
  const name = account?.name ?? said.name;
  const home = account?.home || said.home || "/";
  return { HOME: home, USER: name, LOGNAME: name, SHELL: account?.shell || "/bin/sh", MAIL: undefined };
}

/** The largest 32-bit number stands for "no change". */
const LARGEST_ID = 0xffff_fffe;

function idOf(text: string | undefined): number | undefined {
  return /^\d{1,10}$/.test(text ?? "") && Number(text) <= LARGEST_ID ? Number(text) : undefined;
}

function accountOf(entry: string | undefined): Account | undefined {
  const [name, , , gid, , home = "", shell = ""] = entry?.trim().split(":") ?? [];
  const group = idOf(gid);
  return !name || group === undefined ? undefined : { name, gid: group, home, shell };
}

const LIMIT_MS = 20_000;

/**
 * Asks every database of nsswitch.conf: LDAP and systemd-homed have users, too, that /etc/passwd does not have. The file
 * alone where there is no getent.
 */
async function passwdEntry(uid: number, env: Env): Promise<string | undefined> {
  try {
    const options = { env: withSystemPath(env), limitMs: LIMIT_MS };
    const { code, stdout } = await runProgram("getent", ["passwd", String(uid)], options);
    return code === 0 ? stdout.toString("utf8") : undefined;
  } catch (error) {
    if (!(error instanceof AgentError) || error.code !== "PROGRAM_NOT_FOUND") throw error;
    const lines = (await readFile("/etc/passwd", "utf8").catch(() => "")).split("\n");
    return lines.find((line) => line.split(":")[2] === String(uid));
  }
}

function unreadable(name: string, text: string | undefined): AgentError {
  const found = text === undefined ? "unset" : `"${text}"`;
  const message = `Cannot tell which user runs the application: ${name} is ${found}, wanted a number`;
  return new AgentError("REDIRECT_NOT_POSSIBLE", message, {
    hint: `Set ${name} as sudo does, or unset SUDO_UID to run the application as root.`,
  });
}
