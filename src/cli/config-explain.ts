import { AgentError } from "../base/index.ts";
import {
  type AgentConfig,
  type ConfigEntry,
  ConfigError,
  configEntries,
  formatOrigin,
  formatProblem,
  type LoadedConfig,
  loadConfig,
  nearest,
  showField,
} from "../config/index.ts";
import type { Host } from "../host/index.ts";
import { isSet, valueText } from "./config-print.ts";
import { loadProxyWords } from "./proxy-words.ts";

const KINDS: Readonly<Record<ConfigEntry["kind"], string>> = {
  field: "field of ProxyConfig",
  flag: "flag of proxy",
  variable: "variable",
  metadata: "variable for node metadata",
  header: "variable for a header",
  annotation: "annotation of the pod",
};

/** `pilotboat config explain NAME`: what it means, what it is here, and every source that set it. Rejects with USAGE. */
export async function explain([name, ...args]: readonly string[], host: Host): Promise<number> {
  if (name === undefined) throw new AgentError("USAGE", "Wanted a name", { hint: 'See "pilotboat config --help"' });
  const { config, broken, warnings = [] } = await load(args, host);
  const ofFlags = warnings.filter((warning) => warning.name.startsWith("-"));
  host.stderr.write(ofFlags.map((warning) => `warning: ${formatProblem(warning)}\n`).join(""));
  const entries = configEntries(config);
  const entry = entries.find((one) => one.name === name) ?? entries.find((one) => one.name === `--${name}`);
  if (entry === undefined) throw unknownName(name, entries);
  host.stdout.write(`${describe(entry, broken === undefined ? config : undefined, host)}\n`);
  if (broken !== undefined) host.stdout.write(`  value     unknown: ${broken}\n`);
  return 0;
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

function unknownName(name: string, entries: readonly ConfigEntry[]): AgentError {
  const names = entries.map((entry) => entry.name);
  const close = nearest(name, [...names, ...names.map((one) => one.replace(/^--/, ""))]);
  const hint = close === undefined ? 'All names: "pilotboat config"' : `Did you mean "${close}"?`;
  return new AgentError("USAGE", `There is no variable, flag or field "${name}"`, { hint });
}

function describe(entry: ConfigEntry, config: AgentConfig | undefined, host: Host): string {
  const rows = [
    ["type", entry.type],
    ["default", valueText(entry.default)],
    ...(config === undefined ? [] : [["value", valueText(entry.value)]]),
    ...(config === undefined ? [] : sources(entry, config, host)),
  ];
  const help = entry.help === "" ? [] : [`  ${entry.help}`];
  return [
    `${entry.name}: ${KINDS[entry.kind]}`,
    ...help,
    ...rows.map(([label = "", text = ""]) => `  ${label.padEnd(9)} ${text}`),
  ].join("\n");
}

/** Who set it, first to last: the last one counts. */
function sources(entry: ConfigEntry, config: AgentConfig, host: Host): string[][] {
  const all = entry.kind === "field" ? fieldSources(entry, config) : otherSources(entry, host);
  return all.map((text, at) => [at === 0 ? "set by" : "then by", text]);
}

function fieldSources({ name }: ConfigEntry, { layers }: AgentConfig): string[] {
  return layers
    .filter(({ field }) => field === name)
    .map(({ origin, value }) => `${formatOrigin(origin)}  ${valueText(showField(name, value))}`);
}

/** A variable may be beaten by the flag that says the same. */
function otherSources(entry: ConfigEntry, { env }: Host): string[] {
  if (!isSet(entry)) return [];
  const last = formatOrigin(entry.origin);
  const isBeaten = entry.kind === "variable" && env[entry.name] !== undefined && last !== entry.name;
  return isBeaten ? [entry.name, last] : [last];
}
