import { type RunningApplication, startApplication } from "../../application/index.ts";
import { AgentError } from "../../base/index.ts";
import { findSetpriv, type Host } from "../../host/index.ts";
import { applicationUser, userVariables, userWords } from "./application-user.ts";
import type { Way } from "./enter-namespace.ts";
import { keepCovered } from "./keep-covered.ts";

export interface Program {
  /** Absolute path of the executable. */
  readonly file: string;
  readonly args: readonly string[];
}

/** What it takes to run a program in a namespace. */
export interface Entrance {
  readonly enter: Way;
  /** What the program gets, beside the environment of who starts it. */
  readonly variables: Readonly<Record<string, string>>;
}

/** They name root's own run folder: a library that finds such a name, and may not open it, ends its program. */
const OF_ROOT: ReadonlySet<string> = new Set(["GRPC_XDS_BOOTSTRAP", "PILOTBOAT_RUN_FOLDER"]);

function withoutFiles(variables: Entrance["variables"]): Entrance["variables"] {
  return Object.fromEntries(Object.entries(variables).filter(([name]) => !OF_ROOT.has(name)));
}

/** Starts the application in a network namespace, as the user who called sudo. Rejects as `applicationUser` and `startApplication` do. */
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
  const keep = await keepCovered(enter, env);
  const application = await startApplication({
    ...{ file, args, cwd, setpriv, enter: enter.words },
    env: { ...env, ...(user === undefined ? variables : { ...userVariables(user), ...withoutFiles(variables) }) },
    userWords: user && userWords(user),
  });
  void keep(application);
  return application;
}
