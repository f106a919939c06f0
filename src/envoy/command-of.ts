import type { OutputSource } from "./output/index.ts";

/** How a process of Envoy is made, whether it is to serve or only to check a configuration. */
export interface EnvoyProcess {
  readonly binary: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Runs Envoy as this user and group; undefined keeps the agent's. */
  readonly runAs: { readonly uid: number; readonly gid: number } | undefined;
  /** Path of `setpriv`, with which the kernel ends Envoy when the agent dies; undefined where there is none. */
  readonly setpriv: string | undefined;
  /** Makes what becomes Envoy's stdout and stderr. */
  readonly output: OutputSource;
}

export interface EnvoyCommand {
  readonly file: string;
  readonly args: string[];
  /** For `spawn`: the user and group to become, where `setpriv` does not see to it. */
  readonly identity: { readonly uid?: number; readonly gid?: number };
}

/** The command line by which Envoy runs: as its user, and not longer than the agent. */
export function commandOf({
  binary,
  args,
  runAs,
  setpriv,
}: Pick<EnvoyProcess, "binary" | "args" | "runAs" | "setpriv">): EnvoyCommand {
  if (setpriv === undefined) return { file: binary, args: [...args], identity: { ...runAs } };
  const user = runAs === undefined ? [] : [`--reuid=${runAs.uid}`, `--regid=${runAs.gid}`, "--clear-groups"];
  return { file: setpriv, args: ["--pdeathsig", "KILL", ...user, "--", binary, ...args], identity: {} };
}
