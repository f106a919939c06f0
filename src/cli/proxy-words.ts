import { AgentError } from "../base/index.ts";
import { ALL_FLAGS, type LoadedConfig, loadConfig, nearest, PROXY_ROLES, parseFlags } from "../config/index.ts";
import type { Host } from "../host/index.ts";

/**
 * Throws USAGE for a mistyped sub-command, which `proxy` would take for a proxy type. Flags that nobody knows pass, as
 * they pass with `proxy`: the words of an old deployment are to be looked at as they are; `loadConfig` warns of them.
 */
export function checkProxyWords(command: string, subCommands: readonly string[], args: readonly string[]): void {
  const { positionals } = parseFlags(ALL_FLAGS, args, { isLenient: true });
  const [first = ""] = positionals;
  const close = nearest(first, [...PROXY_ROLES, ...subCommands]);
  if (first === close || close === undefined || !subCommands.includes(close)) return;
  throw new AgentError("USAGE", `Unknown sub-command "${first}"`, {
    hint: `Did you mean "${close}"? See "pilotboat ${command} --help"`,
  });
}

/**
 * The configuration that `proxy` would read, for a command that only shows it: every unknown flag is a warning. A stop
 * ends the look-up of a name; it rejects with the stop's reason then, because what was found is not all.
 */
export async function loadProxyWords(
  args: readonly string[],
  { env, cwd, signals: { stop } }: Host,
  { isPositioned = false }: { readonly isPositioned?: boolean } = {},
): Promise<LoadedConfig> {
  const loaded = await loadConfig({ args, env, cwd, stop, isPositioned, tellsEveryFlag: true });
  stop.throwIfAborted();
  return loaded;
}
