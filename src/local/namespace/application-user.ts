import { readFile } from "node:fs/promises";

/** Who typed the command: root is wanted for the namespace alone. */
export interface ApplicationUser {
  readonly uid: number;
  readonly gid: number;
  /** Undefined where the user database has no entry. */
  readonly account: { readonly name: string; readonly home: string } | undefined;
}

type Env = Readonly<Record<string, string | undefined>>;

/** The user who called sudo; undefined without sudo, or where that was root. Source: sudo(8), SUDO_UID and SUDO_GID. */
export async function applicationUser(env: Env, passwd = "/etc/passwd"): Promise<ApplicationUser | undefined> {
  const [uid, gid] = [env.SUDO_UID, env.SUDO_GID].map((text) => (/^\d{1,10}$/.test(text ?? "") ? Number(text) : 0));
  if (!uid || gid === undefined) return undefined;
  const lines = (await readFile(passwd, "utf8").catch(() => "")).split("\n").map((line) => line.split(":"));
  const [name, , , , , home = ""] = lines.find(([, , id]) => id === String(uid)) ?? [];
  return { uid, gid, account: name === undefined ? undefined : { name, home } };
}

/** Words of `setpriv` that become the user, with the groups that the user has. */
export function userWords({ uid, gid, account }: ApplicationUser): readonly string[] {
  return [`--reuid=${uid}`, `--regid=${gid}`, account === undefined ? "--clear-groups" : "--init-groups"];
}

/** What sudo has changed, as the user's shell has it. */
export function userVariables({ account }: ApplicationUser): Readonly<Record<string, string>> {
  if (account === undefined) return {};
  return { HOME: account.home, USER: account.name, LOGNAME: account.name };
}
