import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { type EgressProxy, nearest } from "../base/index.ts";
import type { ProxyConfig } from "../istio/mesh/index.ts";
import { readBootstrapOverride } from "./bootstrap-override.ts";
import type { Settings } from "./catalogue.ts";
import {
  impossibleMetadata,
  impossibleSettings,
  missingNamespace,
  watchWithoutHotRestart,
  wordsWithoutEffect,
} from "./check-settings.ts";
import { ConfigError } from "./config-error.ts";
import { readAnnotations, readEnvironmentOverlay, readMesh } from "./config-files.ts";
import { type ConfigDefaults, layDefaults } from "./defaults.ts";
import { effectiveProxyConfig } from "./effective-proxy-config.ts";
import { readEgressProxy } from "./egress-proxy.ts";
import { ALL_FLAGS, type FlagsReading, PROXY_ROLES, type ProxyFlags, readProxyFlags } from "./flags.ts";
import { wordsForInjector } from "./injector-words.ts";
import type { FieldLayer } from "./layered-config.ts";
import { type LogConfig, readLogConfig } from "./log-config.ts";
import type { Origin, Problem } from "./problem.ts";
import { type Environment, readSettings, withPrefix } from "./read-settings.ts";
import { lookupAll, type Resolve } from "./statsd.ts";
import { withoutEffect } from "./without-effect.ts";

/** Everything a person or a pod says to the agent. */
export interface ConfigWords {
  /** The words after `proxy`. */
  readonly args: readonly string[];
  readonly env: Environment;
  /** Laid over each other, below everything that the other words say. Default: none. */
  readonly defaults?: readonly ConfigDefaults[];
  /** Relative paths start here. */
  readonly cwd: string;
  /** Default: what the machine says. */
  readonly cpuCount?: number;
  /** Default: as every name is looked up, until `stop`. */
  readonly resolve?: Resolve;
  /** Ends the look-up of a name, which then counts as failed. */
  readonly stop?: AbortSignal;
  /** Whether every field's origin should have line and column, also in JSON; costs loading the YAML parser. */
  readonly isPositioned?: boolean;
  /** Whether every unknown flag is a warning, not only one that looks like one of ours. Default false. */
  readonly tellsEveryFlag?: boolean;
}

export type ProxyRole = "sidecar" | "router" | "waypoint" | "ztunnel" | "agentgateway";
/** The one value that the whole agent runs on. */
export interface AgentConfig {
  readonly role: ProxyRole;
  /** Effective, after all overlays and annotations. */
  readonly proxy: ProxyConfig;
  readonly flags: ProxyFlags;
  /** The typed value of every variable; a flag that says the same has been applied. */
  readonly settings: Settings;
  readonly log: LogConfig;
  /** JSON that Envoy lays over its bootstrap (ISTIO_BOOTSTRAP_OVERRIDE); empty for none. */
  readonly envoyOverlay: string;
  /** The variables as they were given, or stated as defaults, for the templates of users. */
  readonly environment: Environment;
  /** The run folder: relative paths start here, and so does Envoy. */
  readonly cwd: string;
  /** Where the command was typed: relative paths of --envoy and --proxy-config start here. */
  readonly startedIn: string;
  /** ISTIO_META_ and ISTIO_METAJSON_ variables under their full names, in their order. */
  readonly metadataEnv: readonly (readonly [name: string, value: string])[];
  readonly xdsHeaders: readonly (readonly [name: string, value: string])[];
  readonly caHeaders: readonly (readonly [name: string, value: string])[];
  /** `HTTPS_PROXY` and `NO_PROXY`, for the connections to the CA and to istiod. */
  readonly egressProxy: EgressProxy | undefined;
  /** From ./etc/istio/pod/annotations. */
  readonly podAnnotations: ReadonlyMap<string, string>;
  /** Where each ProxyConfig field, variable and flag comes from; what is not named is at its default. */
  readonly origins: ReadonlyMap<string, Origin>;
  /** Every source that set a ProxyConfig field, in the order in which they were laid over each other. */
  readonly layers: readonly FieldLayer[];
}

export interface LoadedConfig {
  readonly config: AgentConfig;
  readonly warnings: readonly Problem[];
}

/** Turns words into the one frozen value. Rejects with CONFIG_INVALID (a ConfigError) that names all problems. */
export async function loadConfig(words: ConfigWords): Promise<LoadedConfig> {
  const { args, defaults = [], isPositioned = false, tellsEveryFlag = false } = words;
  const { flags, positionals, errors, given, unknown } = readProxyFlags(args);
  const cwd = resolve(words.cwd, flags["run-folder"]);
  const { env, stated, overlays } = layDefaults(words.env, defaults);
  const reading = readSettings(env, given, stated);
  const { settings } = reading;
  const problems = [...flagProblems(errors), ...roleProblems(positionals), ...reading.problems];
  const warnings = [...passedOverFlags(unknown, tellsEveryFlag), ...reading.warnings];
  const log = readLogConfig(flags, problems);
  problems.push(...impossibleSettings(settings), ...watchWithoutHotRestart(flags, settings));
  const podAnnotations = await readAnnotations(cwd, warnings);
  const override = { cwd, path: settings.bootstrapOverride, hostIp: settings.hostIp };
  const envoyOverlay = await readBootstrapOverride(override, warnings);
  const effective = await effectiveProxyConfig({
    defaults: overlays,
    meshFile: await readMesh({ cwd, path: flags.meshConfig, isNamed: given.has("meshConfig") }, problems, warnings),
    environment: await readEnvironmentOverlay({ cwd: words.cwd, env, file: flags["proxy-config"] }, problems),
    annotations: podAnnotations,
    flags,
    cpuLimit: settings.cpuLimit,
    cpuCount: words.cpuCount ?? availableParallelism(),
    resolve: words.resolve ?? ((host) => lookupAll(host, words.stop)),
    isPositioned,
  });
  problems.push(...effective.problems);
  const metadataEnv = withPrefix(env, "").filter(([name]) => /^ISTIO_META(JSON)?_/.test(name));
  const metadata = { proxyMetadata: effective.proxy.proxyMetadata, metadataEnv, dnsProxyAddress: undefined };
  problems.push(...impossibleMetadata(metadata));
  const namespace = { metadata, podNamespace: env.POD_NAMESPACE, domain: flags.domain };
  const hasTemplate = effective.proxy.proxyBootstrapTemplatePath !== "" || settings.bootstrapTemplate !== "";
  warnings.push(...wordsForInjector({ proxy: effective.proxy, origins: effective.origins, env, hasTemplate }));
  warnings.push(...effective.warnings, ...missingNamespace(namespace), ...wordsWithoutEffect(settings));
  if (problems.length > 0) throw new ConfigError(problems, [...reading.warnings, ...effective.warnings]);
  const flagOrigins = [...given.keys()].map((name) => [`--${name}`, { source: `--${name}` }] as const);
  const origins = new Map<string, Origin>([...reading.origins, ...flagOrigins, ...effective.origins]);
  const role = (positionals[0] ?? "sidecar") as ProxyRole;
  warnings.push(
    ...withoutEffect({ role, settings, proxy: effective.proxy, origins, env, annotations: podAnnotations }),
  );
  const config: AgentConfig = {
    role,
    proxy: effective.proxy,
    flags,
    settings,
    log,
    envoyOverlay,
    environment: env,
    cwd,
    startedIn: words.cwd,
    metadataEnv,
    xdsHeaders: withPrefix(env, "XDS_HEADER_"),
    caHeaders: withPrefix(env, "CA_HEADER_"),
    egressProxy: readEgressProxy(env, warnings),
    podAnnotations,
    origins,
    layers: effective.layers,
  };
  return { config: Object.freeze(config), warnings };
}

function flagProblems(errors: FlagsReading["errors"]): Problem[] {
  return errors.map(({ flag, message }) => ({ name: flag, origin: { source: flag }, message }));
}

/** Unknown flags are passed over; one that looks like one of ours was meant for us. */
function passedOverFlags(unknown: readonly string[], tellsEvery: boolean): Problem[] {
  const known = ALL_FLAGS.map(({ name }) => name);
  const message = "unknown flag, ignored";
  return [...new Set(unknown)].flatMap((flag) => {
    const close = flag.startsWith("--") ? nearest(flag.slice(2), known) : undefined;
    const problem = { name: flag, origin: { source: flag }, message };
    if (close === undefined) return tellsEvery ? [problem] : [];
    return [{ ...problem, hint: `Did you mean "--${close}"?` }];
  });
}

function roleProblems([role = "sidecar"]: readonly string[]): Problem[] {
  if (PROXY_ROLES.includes(role)) return [];
  const wanted = `one of ${PROXY_ROLES.join(", ")}`;
  const close = nearest(role, PROXY_ROLES);
  const hint = close === undefined ? `Wanted ${wanted}` : `Did you mean "${close}"?`;
  const origin = { source: "command line" };
  return [{ name: "proxy type", origin, message: `invalid proxy Type: ${role}`, found: role, wanted, hint }];
}
