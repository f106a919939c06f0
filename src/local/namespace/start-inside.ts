import { type RunningApplication, startApplication } from "../../application/index.ts";
import { AgentError } from "../../base/index.ts";
import { findSetpriv, type Host } from "../../host/index.ts";
import { applicationUser, userVariables, userWords } from "./application-user.ts";

export interface Program {
  /** Absolute path of the executable. */
  readonly file: string;
  readonly args: readonly string[];
}

/** What it takes to run a program in a namespace. */
export interface Entrance {
  /** Words before a command line, which run it inside. */
  readonly enter: readonly string[];
  /** What the program gets, beside the environment of who starts it. */
  readonly variables: Readonly<Record<string, string>>;
}

/** Starts the application in a network namespace, as the user who called sudo. Rejects as `startApplication` does. */
export async function startInside(
  { file, args }: Program,
  { enter, variables }: Entrance,
  { env, cwd }: Pick<Host, "env" | "cwd">,
): Promise<RunningApplication> {
  const user = await applicationUser(env);
  const setpriv = await findSetpriv(env.PATH);
  if (user !== undefined && setpriv === undefined) {
    throw new AgentError("PROGRAM_NOT_FOUND", `Cannot run "${file}" as uid ${user.uid}: "setpriv" is not on PATH`, {
      hint: 'Install the package "util-linux" of the system, or unset SUDO_UID to run it as root.',
    });
  }
  return startApplication({
    ...{ file, args, cwd, setpriv, enter },
    env: { ...env, ...(user && userVariables(user)), ...variables },
    userWords: user && userWords(user),
  });
}
