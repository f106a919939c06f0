import { type AgentError, escapeLine, nearest } from "../base/index.ts";
import {
  type AgentConfig,
  type ConfigEntry,
  ConfigError,
  configEntries,
  formatOrigin,
  formatProblem,
  type LoadedConfig,
  loadConfig,
  showField,
} from "../config/index.ts";
import type { Host } from "../host/index.ts";
import { statedDefaults } from "../local/defaults/index.ts";
import { isSet, valueText } from "./config-print.ts";
import { type FoundCommand, findCommand, type Input, PROXY_FLAGS, PROXY_ROLES } from "./contract/index.ts";
import { printWarnings } from "./print-error.ts";
import { loadProxyWords } from "./proxy-words.ts";
import { nameTable, type Row, stdoutOf, strong, type Text, warning, wrap } from "./terminal/index.ts";

const KINDS: Readonly<Record<ConfigEntry["kind"], string>> = {
  field: "field of ProxyConfig",
  flag: "flag of proxy",
  variable: "variable",
  metadata: "variable for node metadata",
  header: "variable for a header",
  annotation: "annotation of the pod",
};

/** Prints what a name means, its value here, and every source that set it. Rejects with USAGE. */
export async function explain({ words, usage }: Input<[]>, host: Host): Promise<number> {
  const { name, rest: args } = splitName(words);
  if (name === undefined) throw usage("Missing name of a variable, a flag or a field");
  const { config, broken, warnings = [] } = await load(args, host);
  printWarnings(host, warnings.filter((one) => one.name.startsWith("-")).map(formatProblem));
  const entries = configEntries(config);
  const entry = entries.find((one) => one.name === name) ?? entries.find((one) => one.name === `--${name}`);
  if (entry === undefined) throw unknownName(name, entries, usage);
  const terminal = stdoutOf(host);
  terminal.print(describe(entry, { config, broken, env: host.env }, terminal.width));
  return 0;
}

/** Flags may stand before the name, and the name may be a flag. */
function splitName(words: readonly string[]): FoundCommand {
  const found = findCommand(words, PROXY_FLAGS);
  if (found.name !== undefined && !PROXY_ROLES.includes(found.name)) return found;
  return { name: words[0], rest: words.slice(1) };
}

interface Explained extends Pick<LoadedConfig, "config"> {
  readonly warnings?: LoadedConfig["warnings"];
  /** Why there are no values. */
  readonly broken?: string;
}

/** A configuration that cannot be used has no values, but names still have meanings. */
async function load(args: readonly string[], host: Host): Promise<Explained> {
  try {
    return await loadProxyWords(args, host, { isPositioned: true });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const { config } = await loadConfig({ args: ["--meshConfig", "/dev/null"], env: {}, cwd: "/dev/null" });
    const count = error.problems.length;
    return {
      config,
      broken: `the configuration has ${count} problem${count === 1 ? "" : "s"}, see "pilotboat config"`,
    };
  }
}

function unknownName(name: string, entries: readonly ConfigEntry[], usage: Input<[]>["usage"]): AgentError {
  const names = entries.map((entry) => entry.name);
  const close = nearest(name, [...names, ...names.map((one) => one.replace(/^--/, ""))]);
  const hint = close === undefined ? 'All names: "pilotboat config".' : `Did you mean "${close}"?`;
  return usage(`Unknown variable, flag or field "${name}"`, hint);
}

interface Values {
  readonly config: AgentConfig;
  /** Why there are none. */
  readonly broken: string | undefined;
  readonly env: Host["env"];
}

function describe(entry: ConfigEntry, { config, broken, env }: Values, width: number | undefined): Text {
  const values: Row[] =
    broken === undefined
      ? [["value", valueText(entry.value)], ...sources(entry, config, env)]
      : [["value", warning(`unknown: ${broken}`)]];
  const rows: Row[] = [["type", entry.type], ...defaults(entry), ...values];
  const help = entry.help === "" ? [] : wrap(escapeLine(entry.help), width && width - 2);
  return [
    strong(entry.name),
    `: ${KINDS[entry.kind]}\n`,
    help.map((line) => ["  ", line, "\n"]),
    nameTable(rows, { width, indent: 2 }),
  ];
}

/** The default of `proxy`, then those of `run` and `up` that differ. */
function defaults(entry: ConfigEntry): Row[] {
  const usual = valueText(entry.default);
  const others = statedDefaults(entry.name).filter(({ value }) => value !== usual);
  return [["default", usual], ...others.map(({ command, value }): Row => [`of ${command}`, value])];
}

/** What set it, first to last: the last one counts. */
function sources(entry: ConfigEntry, config: AgentConfig, env: Host["env"]): Row[] {
  const all = entry.kind === "field" ? fieldSources(entry, config) : otherSources(entry, env);
  return all.map((text, at) => [at === 0 ? "set by" : "then by", text]);
}

function fieldSources({ name }: ConfigEntry, { layers }: AgentConfig): string[] {
  return layers
    .filter(({ field }) => field === name)
    .map(({ origin, value }) => `${formatOrigin(origin)}  ${valueText(showField(name, value))}`);
}

/** A variable may be beaten by the flag that says the same. */
function otherSources(entry: ConfigEntry, env: Host["env"]): string[] {
  if (!isSet(entry)) return [];
  const last = formatOrigin(entry.origin);
  const isBeaten = entry.kind === "variable" && env[entry.name] !== undefined && last !== entry.name;
  return isBeaten ? [entry.name, last] : [last];
}
