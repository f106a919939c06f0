import { PATHS } from "../istio/index.ts";
import type { Settings } from "./catalogue.ts";
import { type FlagSpec, type FlagValues, type ParsedFlags, parseFlags } from "./pflag.ts";

/** A flag of `proxy`; some say the same as a variable, and then beat it. */
export interface ProxyFlagSpec extends FlagSpec {
  readonly default: Exclude<FlagSpec["default"], undefined>;
  /** Name of that variable's value. */
  readonly setting?: keyof Settings;
  /** What follows from giving it, where that changes nothing: a warning, after "has no effect: ". */
  readonly withoutEffect?: string;
}

export const PROXY_ROLES: readonly string[] = ["sidecar", "router", "waypoint", "ztunnel", "agentgateway"];

/** Flags that every command of pilot-agent takes. Source: istio/istio pkg/log/options.go. */
export const LOG_FLAGS = [
  {
    name: "log_target",
    type: "strings",
    default: ["stdout"],
    help: "Where log lines go: stdout, stderr or a file; may be given several times",
    value: "FILE",
  },
  { name: "log_as_json", type: "bool", default: false, help: "Log lines as JSON, Envoy's included" },
  {
    name: "log_output_level",
    type: "string",
    default: "",
    help: "Comma list of scope:level or level; levels are none, fatal, error, warn, info, debug",
    value: "LEVELS",
  },
  {
    name: "log_stacktrace_level",
    type: "string",
    default: "default:none",
    help: "Level from which stack traces are added",
    value: "LEVELS",
  },
  {
    name: "log_caller",
    type: "string",
    default: "",
    help: "Scopes whose lines name file and line, or all",
    value: "SCOPES",
  },
  { name: "vklog", type: "int", default: 0, help: "Non-zero: debug lines of the scope klog" },
] as const satisfies readonly ProxyFlagSpec[];

/** Flags of `proxy`. Source: istio/istio pilot/cmd/pilot-agent/app/cmd.go; the last group is pilotboat's own. */
export const PROXY_FLAGS = [
  {
    name: "domain",
    type: "string",
    default: "",
    help: "DNS domain; default <POD_NAMESPACE>.svc.cluster.local",
    value: "NAME",
  },
  { name: "meshConfig", type: "string", default: PATHS.meshConfig, help: "Mesh file", value: "FILE" },
  {
    name: "stsPort",
    type: "int",
    default: 0,
    help: "Port of a security token service, published as metadata",
    withoutEffect: "there is no security token service, and nothing listens on that port",
  },
  {
    name: "tokenManagerPlugin",
    type: "string",
    default: "",
    help: "Name of a plugin of the security token service",
    withoutEffect: "there is no security token service",
  },
  {
    name: "serviceCluster",
    type: "string",
    default: "istio-proxy",
    help: "Used when serviceCluster is empty",
    value: "NAME",
  },
  {
    name: "proxyLogLevel",
    type: "string",
    default: "warning",
    help: "Envoy's log level, with name:level items",
    value: "LEVELS",
  },
  {
    name: "proxyComponentLogLevel",
    type: "string",
    default: "",
    help: "Envoy's component levels (deprecated)",
    value: "LEVELS",
  },
  { name: "concurrency", type: "int", default: 0, help: "Envoy's worker threads; beats the configuration" },
  { name: "templateFile", type: "string", default: "", help: "Bootstrap template", value: "FILE" },
  { name: "outlierLogPath", type: "string", default: "", help: "File for Envoy's outlier events", value: "FILE" },
  { name: "profiling", type: "bool", default: true, help: "Profiling pages of the status port" },
  { name: "envoy", type: "string", default: "", help: "Envoy's executable; beats binaryPath", value: "FILE" },
  {
    name: "envoy-version",
    type: "string",
    default: "",
    help: "The one Envoy that will do, such as 1.38.3 or istio-1.31.0; beats binaryPath and PILOTBOAT_ENVOY_VERSION",
    value: "VERSION",
    setting: "envoyVersion",
  },
  {
    name: "proxy-config",
    type: "string",
    default: "",
    help: "File with the ProxyConfig in place of the variable; variables in it are replaced",
    value: "FILE",
  },
  {
    name: "restart",
    type: "string",
    default: "",
    help: "What happens when Envoy exits by itself: never, on-failure or always; beats PILOTBOAT_RESTART",
    value: "never|on-failure|always",
    setting: "restart",
  },
  {
    name: "drain-delay",
    type: "duration",
    default: "",
    help: "Wait after the first signal before the drain begins; beats PILOTBOAT_DRAIN_DELAY",
    setting: "drainDelayMs",
  },
  {
    name: "stop-deadline",
    type: "duration",
    default: "",
    help: "Longest time from the first signal to the end; beats PILOTBOAT_STOP_DEADLINE",
    setting: "stopDeadlineMs",
  },
  {
    name: "hot-restart",
    type: "bool",
    default: false,
    help: "Run Envoy so that it can be replaced without losing a request; beats PILOTBOAT_HOT_RESTART",
    setting: "isHotRestart",
  },
  {
    name: "stock-envoy",
    type: "string",
    default: "",
    help: "Istio's filters that this Envoy does not have: adapt leaves those without policy out, refuse passes them on; beats PILOTBOAT_STOCK_ENVOY",
    value: "adapt|refuse",
    setting: "stockEnvoy",
  },
  {
    name: "free-ports",
    type: "bool",
    default: false,
    help: "Choose another port where an unset one is in use",
  },
  {
    name: "watch",
    type: "bool",
    default: false,
    help: "Replace Envoy when a file of its configuration changes; needs hot restart",
  },
  {
    name: "run-folder",
    type: "string",
    default: "",
    help: "Where relative paths start, Envoy's too; default: the working directory",
    value: "FOLDER",
  },
] as const satisfies readonly ProxyFlagSpec[];

/** The value of every flag, given or default. */
export type ProxyFlags = FlagValues<typeof PROXY_FLAGS> & FlagValues<typeof LOG_FLAGS>;

export interface FlagsReading extends Pick<ParsedFlags, "positionals" | "errors" | "given" | "unknown"> {
  readonly flags: ProxyFlags;
}

/** What a flag is for; for one that changes nothing, that as well. */
export function flagHelp({ help, withoutEffect }: ProxyFlagSpec): string {
  return withoutEffect === undefined ? help : `${help} (no effect: ${withoutEffect})`;
}

/** Every flag that `proxy` takes. */
export const ALL_FLAGS: readonly ProxyFlagSpec[] = [...PROXY_FLAGS, ...LOG_FLAGS];

/** Parses the words after `proxy`; unknown flags are passed over, as the reference does. */
export function readProxyFlags(args: readonly string[]): FlagsReading {
  const { given, positionals, errors, unknown } = parseFlags(ALL_FLAGS, args, { isLenient: true });
  const flags = Object.fromEntries(ALL_FLAGS.map((spec) => [spec.name, given.get(spec.name) ?? spec.default]));
  return { given, positionals, errors, unknown, flags: Object.freeze(flags) as unknown as ProxyFlags };
}
