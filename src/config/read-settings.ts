import { CATALOGUE, type Settings } from "./catalogue.ts";
import { ALL_FLAGS } from "./flags.ts";
import type { FlagValue } from "./pflag.ts";
import type { Origin, Problem } from "./problem.ts";
import type { Setting } from "./setting.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

export interface SettingsReading {
  readonly settings: Settings;
  /** Where each value comes from, by variable name; what is not named is at its default. */
  readonly origins: ReadonlyMap<string, Origin>;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/** Every row of the catalogue with its name in code. */
export const SETTINGS: readonly (readonly [name: string, setting: Setting<unknown>])[] = Object.entries(
  CATALOGUE as unknown as Readonly<Record<string, Setting<unknown>>>,
);

/**
 * Reads every catalogued variable, and the flags that beat one; `stated` names who stands behind a default. A variable that cannot be parsed is a warning and its
 * default is used, an empty string counts as set; a flag that cannot be parsed is a problem.
 * Source: istio/istio pkg/env/var.go.
 */
export function readSettings(
  env: Environment,
  given: ReadonlyMap<string, FlagValue>,
  stated: ReadonlyMap<string, string> = new Map(),
): SettingsReading {
  const settings: Record<string, unknown> = {};
  const origins = new Map<string, Origin>();
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  for (const [name, setting] of SETTINGS) {
    const text = env[setting.env];
    const value = text === undefined ? undefined : setting.parser.parse(text);
    const isSet = text !== undefined && value !== undefined;
    settings[name] = isSet ? value : setting.default;
    if (isSet) origins.set(setting.env, { source: stated.get(setting.env) ?? setting.env });
    if (text !== undefined && value === undefined) warnings.push(unparsable(setting, text));
  }
  for (const flag of ALL_FLAGS) {
    const text = given.get(flag.name);
    if (flag.setting === undefined || text === undefined) continue;
    const setting: Setting<unknown> = CATALOGUE[flag.setting] as Setting<unknown>;
    const name = `--${flag.name}`;
    const value = setting.parser.parse(String(text));
    if (value === undefined) {
      const message = `invalid argument ${JSON.stringify(text)} for "${name}" flag: expecting ${setting.parser.wanted}`;
      problems.push({ name, origin: { source: name }, message });
    } else {
      settings[flag.setting] = value;
      origins.set(setting.env, { source: name });
    }
  }
  return { settings: Object.freeze(settings) as unknown as Settings, origins, problems, warnings };
}

function unparsable({ env, parser, default: fallback }: Setting<unknown>, text: string): Problem {
  const message = `Invalid environment variable value \`${text}\`, expecting ${parser.wanted}, defaulting to ${parser.print(fallback)}`;
  return { name: env, origin: { source: env }, message, found: text, wanted: parser.wanted };
}

/** Entries of the environment whose name starts with `prefix`, by the rest of their name, in their order. */
export function withPrefix(env: Environment, prefix: string): [name: string, value: string][] {
  return Object.entries(env).flatMap(([name, value]) =>
    name.startsWith(prefix) && value !== undefined ? [[name.slice(prefix.length), value] as [string, string]] : [],
  );
}
