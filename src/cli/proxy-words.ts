import { AgentError } from "../base/index.ts";
import { ALL_FLAGS, nearest, PROXY_ROLES, parseFlags } from "../config/index.ts";

/**
 * Looks at the words of a command that takes the proxy's flags and is no drop-in for anything: an unknown flag and a
 * mistyped sub-command are told, where `proxy` passes over the first and takes the second for a proxy type. Throws USAGE.
 */
export function checkProxyWords(command: string, subCommands: readonly string[], args: readonly string[]): void {
  const { unknown, positionals } = parseFlags(ALL_FLAGS, args, { isLenient: false });
  const [flag] = unknown;
  if (flag !== undefined) throw usage(command, `Unknown flag "${flag}"`, nearestFlag(flag));
  const [first = ""] = positionals;
  const close = nearest(first, [...PROXY_ROLES, ...subCommands]);
  if (first === close || close === undefined || !subCommands.includes(close)) return;
  throw usage(command, `Unknown sub-command "${first}"`, close);
}

function nearestFlag(flag: string): string | undefined {
  const close = nearest(
    flag.replace(/^-+/, ""),
    ALL_FLAGS.map(({ name }) => name),
  );
  return close === undefined ? undefined : `--${close}`;
}

function usage(command: string, message: string, close: string | undefined): AgentError {
  const hint = close === undefined ? `See "pilotboat ${command} --help"` : `Did you mean "${close}"?`;
  return new AgentError("USAGE", message, { hint });
}
