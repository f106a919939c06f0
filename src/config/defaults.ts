import type { Source } from "./document.ts";
import type { Environment } from "./read-settings.ts";

/** What a command states in place of the usual defaults. Every setting of the user beats it. */
export interface ConfigDefaults {
  /** The origin of each value, for people: `pilotboat run`. */
  readonly source: string;
  /** Values of variables by name. Where there is one, an empty variable says nothing. */
  readonly variables?: Readonly<Record<string, string>>;
  /** Fields of ProxyConfig, as JSON has them. */
  readonly proxyConfig?: Readonly<Record<string, unknown>>;
}

export interface LaidDefaults {
  /** The variables that were given, over those that are stated. */
  readonly env: Environment;
  /** The source of each stated variable that the user has not set. */
  readonly stated: ReadonlyMap<string, string>;
  /** To be laid below every other source of a ProxyConfig. */
  readonly overlays: readonly Source[];
}

/** Lays defaults over each other, the last one on top, and below what was given. */
export function layDefaults(given: Environment, defaults: readonly ConfigDefaults[]): LaidDefaults {
  const variables = new Map(
    defaults.flatMap(({ source, variables = {} }) =>
      Object.entries(variables).map(([name, value]) => [name, { value, source }] as const),
    ),
  );
  const stated = new Map<string, string>();
  const env: Record<string, string | undefined> = {};
  for (const [name, { value, source }] of variables) {
    if (given[name] !== undefined && given[name] !== "") continue;
    env[name] = value;
    stated.set(name, source);
  }
  for (const [name, value] of Object.entries(given)) if (!stated.has(name)) env[name] = value;
  const overlays = defaults.flatMap(({ source, proxyConfig }) =>
    proxyConfig === undefined ? [] : [{ text: JSON.stringify(proxyConfig), source }],
  );
  return { env, stated, overlays };
}
