import { CATALOGUE, type Setting, type Settings } from "./catalogue.ts";
import { DEFAULT_ORIGIN, type Origin, type Problem } from "./problem.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

export interface SettingsReading {
  readonly settings: Settings;
  /** Where each value comes from, by variable name. */
  readonly origins: ReadonlyMap<string, Origin>;
  readonly warnings: readonly Problem[];
}

/**
 * Reads every catalogued variable. A value that cannot be parsed is a warning and the default is used; an empty string
 * counts as set. Source: istio/istio pkg/env/var.go.
 */
export function readSettings(env: Environment): SettingsReading {
  const settings: Record<string, unknown> = {};
  const origins = new Map<string, Origin>();
  const warnings: Problem[] = [];
  for (const [name, setting] of Object.entries<Setting<unknown>>(CATALOGUE as never)) {
    const text = env[setting.env];
    const value = text === undefined ? undefined : setting.parser.parse(text);
    const isSet = text !== undefined && value !== undefined;
    settings[name] = isSet ? value : setting.default;
    origins.set(setting.env, isSet ? { source: setting.env } : DEFAULT_ORIGIN);
    if (text !== undefined && value === undefined) warnings.push(unparsable(setting, text));
  }
  return { settings: Object.freeze(settings) as unknown as Settings, origins, warnings };
}

function unparsable(setting: Setting<unknown>, text: string): Problem {
  const fallback = setting.parser.print(setting.default);
  return {
    name: setting.env,
    origin: { source: setting.env },
    message: `Invalid environment variable value \`${text}\`, expecting ${setting.parser.wanted}, defaulting to ${fallback}`,
  };
}

/** Entries of the environment whose name starts with `prefix`, by the rest of their name, in their order. */
export function withPrefix(env: Environment, prefix: string): [name: string, value: string][] {
  return Object.entries(env).flatMap(([name, value]) =>
    name.startsWith(prefix) && value !== undefined ? [[name.slice(prefix.length), value] as [string, string]] : [],
  );
}
