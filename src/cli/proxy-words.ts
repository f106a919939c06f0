import { type LoadedConfig, loadConfig } from "../config/index.ts";
import type { Host } from "../host/index.ts";

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
