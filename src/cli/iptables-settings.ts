import { AgentError, parseGoBool, parseGoDuration, toMs } from "../base/index.ts";
import type { RedirectSettings } from "../redirect/index.ts";
import { type FlagValue, parseFlags } from "./contract/index.ts";
import { REDIRECT_FLAGS, REDIRECT_VARIABLES, type RedirectFlag } from "./iptables-flags.ts";

export interface ReadSettings {
  readonly settings: RedirectSettings;
  /** The flag or variable that a setting comes from. */
  origin(setting: keyof RedirectSettings): string;
  /** Variables whose value cannot be read, and what becomes of them: what becomes of them in the reference. */
  readonly warnings: readonly string[];
}

type Env = Readonly<Record<string, string | undefined>>;

/** Flags, then variables, then defaults. Throws USAGE for a flag whose number or duration cannot be read. */
export function readSettings(given: ReadonlyMap<string, FlagValue>, env: Env): ReadSettings {
  const origins = new Map<string, string>();
  const warnings: string[] = [];
  const values = new Map<string, unknown>();
  for (const flag of REDIRECT_FLAGS) {
    const found = given.has(flag.name)
      ? { value: fromFlag(flag, given.get(flag.name)), origin: `--${flag.name}` }
      : fromVariables(flag, env, warnings);
    values.set(flag.setting, found.value);
    origins.set(flag.setting, found.origin);
  }
  for (const [setting, name] of ONLY_VARIABLES) {
    const [, usual] = REDIRECT_VARIABLES.find(([one]) => one === name) ?? [];
    values.set(setting, env[name] ?? usual);
    origins.set(setting, name);
  }
  return {
    settings: Object.fromEntries(values) as unknown as RedirectSettings, // each flag names its setting
    origin: (setting) => origins.get(setting) ?? setting,
    warnings,
  };
}

const ONLY_VARIABLES = [
  ["ownerGroupsInclude", "ISTIO_OUTBOUND_OWNER_GROUPS"],
  ["ownerGroupsExclude", "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE"],
  ["hostIpv4LoopbackCidr", "ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR"],
] as const;

function fromFlag(flag: RedirectFlag, given: FlagValue | undefined): unknown {
  const value = asSetting(flag, given ?? "");
  if (value !== undefined) return value;
  const wanted = flag.type === "duration" ? "a duration such as 5s" : "a port from 0 to 65535";
  throw new AgentError("USAGE", `Cannot use --${flag.name} ${JSON.stringify(given)}, wanted ${wanted}`);
}

function fromVariables(flag: RedirectFlag, env: Env, warnings: string[]): { value: unknown; origin: string } {
  let found = { value: asSetting(flag, flag.default as FlagValue), origin: `--${flag.name}` };
  for (const name of flag.variables) {
    const text = env[name];
    if (text === undefined) continue;
    const value = fromText(flag, text);
    found = { value: value ?? takenFor(flag, text).value, origin: name };
    if (value !== undefined) continue;
    const { wanted, shown } = takenFor(flag, text);
    warnings.push(`${name}=${JSON.stringify(text)} is no ${wanted} and is taken for ${shown}`);
  }
  return found;
}

/** What a variable that cannot be read resets its setting to. Source: spf13/pflag, whose Set stores before it fails. */
function takenFor({ type }: RedirectFlag, text: string): { value: unknown; wanted: string; shown: string } {
  if (type === "bool") return { value: false, wanted: "boolean", shown: "false" };
  if (type === "duration") return { value: 0, wanted: "duration", shown: "0s" };
  const value = /^\d+$/.test(text) && Number(text) > MOST_PORTS ? MOST_PORTS : 0;
  return { value, wanted: `port from 0 to ${MOST_PORTS}`, shown: String(value) };
}

const MOST_PORTS = 65_535;

function fromText(flag: RedirectFlag, text: string): unknown {
  if (flag.type === "bool") return parseGoBool(text);
  if (flag.type !== "int") return asSetting(flag, text);
  const number = parseFlags([flag], [`--${flag.name}=${text}`], { isLenient: false }).given.get(flag.name);
  return number === undefined ? undefined : asSetting(flag, number);
}

/** As the setting has it: durations in milliseconds, ports in 16 bits. */
function asSetting({ type }: RedirectFlag, value: FlagValue): unknown {
  if (type === "int") return Number(value) >= 0 && Number(value) <= MOST_PORTS ? value : undefined;
  if (type !== "duration") return value;
  const duration = parseGoDuration(String(value));
  return duration === undefined ? undefined : toMs(duration);
}
