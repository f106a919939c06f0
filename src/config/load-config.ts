import { lookup } from "node:dns/promises";
import { readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { AgentError, describeError, parseDownwardApi, systemCode } from "../base/index.ts";
import type { ProxyConfig } from "../proto/mesh/index.ts";
import type { Settings } from "./catalogue.ts";
import { effectiveProxyConfig } from "./effective-proxy-config.ts";
import { type ProxyFlags, readProxyFlags } from "./flags.ts";
import { type LogConfig, readLogConfig } from "./log-config.ts";
import { formatProblems, type Origin, type Problem } from "./problem.ts";
import { type Environment, readSettings, withPrefix } from "./read-settings.ts";
import type { Resolve } from "./statsd.ts";
import { substitute } from "./substitute.ts";

/** Everything a person or a pod says to the agent. */
export interface ConfigWords {
  /** The words after `proxy`. */
  readonly args: readonly string[];
  readonly env: Environment;
  /** Relative paths start here. */
  readonly cwd: string;
  /** Default: what the machine says. */
  readonly cpuCount?: number;
  /** Default: the system's resolver. */
  readonly resolve?: Resolve;
}

export type ProxyRole = "sidecar" | "router" | "waypoint" | "ztunnel" | "agentgateway";
const ROLES: readonly string[] = ["sidecar", "router", "waypoint", "ztunnel", "agentgateway"];

/** The one value that the whole agent runs on. */
export interface AgentConfig {
  readonly role: ProxyRole;
  /** Effective, after all overlays and annotations. */
  readonly proxy: ProxyConfig;
  readonly flags: ProxyFlags;
  readonly settings: Settings;
  readonly log: LogConfig;
  readonly cwd: string;
  /** ISTIO_META_ and ISTIO_METAJSON_ variables under their full names, in their order. */
  readonly metadataEnv: readonly (readonly [name: string, value: string])[];
  readonly xdsHeaders: readonly (readonly [name: string, value: string])[];
  readonly caHeaders: readonly (readonly [name: string, value: string])[];
  /** From ./etc/istio/pod/annotations. */
  readonly podAnnotations: ReadonlyMap<string, string>;
  /** Where each ProxyConfig field, variable and flag comes from; what is not named is at its default. */
  readonly origins: ReadonlyMap<string, Origin>;
}

export interface LoadedConfig {
  readonly config: AgentConfig;
  readonly warnings: readonly Problem[];
}

/** What CONFIG_INVALID carries: every problem, in the order in which they were found. */
export class ConfigError extends AgentError {
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
    super("CONFIG_INVALID", `The configuration has ${count}:\n${formatProblems(problems)}\n`);
    this.problems = problems;
  }
}

const ANNOTATIONS_FILE = "./etc/istio/pod/annotations";

/** Turns words into the one frozen value. Rejects with CONFIG_INVALID (a ConfigError) that names all problems. */
export async function loadConfig(words: ConfigWords): Promise<LoadedConfig> {
  const problems: Problem[] = [];
  const { settings, origins, warnings: settingWarnings } = readSettings(words.env);
  const warnings = [...settingWarnings];
  const { flags, positionals, errors, given } = readProxyFlags(words.args);
  for (const { flag, message } of errors) problems.push({ name: flag, origin: { source: flag }, message });
  const role = positionals[0] ?? "sidecar";
  if (!ROLES.includes(role)) {
    const message = `invalid proxy Type: ${role}`;
    problems.push({
      name: "proxy type",
      origin: { source: "command line" },
      message,
      hint: `One of ${ROLES.join(", ")}`,
    });
  }
  const log = readLogConfig(flags, problems);
  problems.push(...keyProblems(settings));
  const podAnnotations = await readAnnotations(resolve(words.cwd, ANNOTATIONS_FILE), warnings);
  const effective = await effectiveProxyConfig({
    meshFile: await readOptional(words.cwd, flags.meshConfig, "--meshConfig", problems),
    environment: await environmentOverlay(words, flags, problems),
    annotations: podAnnotations,
    flags,
    cpuLimit: settings.cpuLimit,
    cpuCount: words.cpuCount ?? availableParallelism(),
    resolve: words.resolve ?? lookupAll,
  });
  problems.push(...effective.problems);
  warnings.push(...effective.warnings);
  if (problems.length > 0) throw new ConfigError(problems);
  const flagOrigins = [...given.keys()].map((name) => [`--${name}`, { source: `--${name}` }] as const);
  const config: AgentConfig = {
    role: role as ProxyRole,
    proxy: effective.proxy,
    flags,
    settings,
    log,
    cwd: words.cwd,
    metadataEnv: metadataEntries(words.env),
    xdsHeaders: withPrefix(words.env, "XDS_HEADER_"),
    caHeaders: withPrefix(words.env, "CA_HEADER_"),
    podAnnotations,
    origins: new Map<string, Origin>([...origins, ...flagOrigins, ...effective.origins]),
  };
  return { config: Object.freeze(config), warnings: [...warnings, ...identityWarnings(settings)] };
}

function metadataEntries(env: Environment): [string, string][] {
  return withPrefix(env, "").filter(([name]) => /^ISTIO_META(JSON)?_/.test(name));
}

async function environmentOverlay(words: ConfigWords, flags: ProxyFlags, problems: Problem[]) {
  const file = flags["proxy-config"];
  if (file === "") {
    const text = words.env.PROXY_CONFIG;
    return text === undefined ? undefined : { text, source: "PROXY_CONFIG" };
  }
  const read = await readOptional(words.cwd, file, "--proxy-config", problems);
  if (read === undefined) {
    const message = `cannot read "${file}": no such file`;
    problems.push({ name: "--proxy-config", origin: { source: "--proxy-config" }, message });
    return undefined;
  }
  return { text: substitute(read.text, words.env), source: read.path };
}

/** A file that may be absent; any other failure is a problem. */
async function readOptional(cwd: string, path: string, name: string, problems: Problem[]) {
  try {
    const text = await readFile(resolve(cwd, path), "utf8");
    return text === "" ? undefined : { text, path };
  } catch (error) {
    if (systemCode(error) === "ENOENT" || systemCode(error) === "ENOTDIR") return undefined;
    const message = `cannot read "${path}": ${describeError(error)}`;
    problems.push({ name, origin: { source: path }, message });
    return undefined;
  }
}

async function readAnnotations(path: string, warnings: Problem[]): Promise<ReadonlyMap<string, string>> {
  try {
    const parsed = parseDownwardApi(await readFile(path, "utf8"));
    if (typeof parsed !== "string") return parsed;
    warnings.push({ name: "pod annotations", origin: { source: path }, message: parsed });
  } catch (error) {
    if (systemCode(error) !== "ENOENT" && systemCode(error) !== "ENOTDIR") {
      warnings.push({ name: "pod annotations", origin: { source: path }, message: describeError(error) });
    }
  }
  return new Map();
}

const LEAST_RSA_BITS = 2048;

/** Key settings that no certificate can ever come of are refused before anything starts. */
function keyProblems({ eccAlgorithm, rsaKeySize }: Settings): Problem[] {
  if (eccAlgorithm !== "" && eccAlgorithm !== "ECDSA") {
    const message = `unsupported EC signature algorithm "${eccAlgorithm}", wanted ECDSA or nothing`;
    const name = "ECC_SIGNATURE_ALGORITHM";
    return [{ name, origin: { source: name }, message }];
  }
  if (eccAlgorithm !== "" || rsaKeySize >= LEAST_RSA_BITS) return [];
  const message = `${rsaKeySize} does not meet the minimum required size of ${LEAST_RSA_BITS}`;
  return [{ name: "WORKLOAD_RSA_KEY_SIZE", origin: { source: "WORKLOAD_RSA_KEY_SIZE" }, message }];
}

/** Without these istiod cannot tell which workload is asking; the reference starts all the same. */
function identityWarnings({ podNamespace, serviceAccount }: Settings): Problem[] {
  const missing = [
    ...(podNamespace === "" ? ["POD_NAMESPACE"] : []),
    ...(serviceAccount === "" ? ["SERVICE_ACCOUNT"] : []),
  ];
  return missing.map((name) => ({
    name,
    origin: { source: name },
    message: "is not set; istiod will not be able to match the workload",
  }));
}

async function lookupAll(host: string): Promise<readonly string[]> {
  return (await lookup(host, { all: true })).map(({ address }) => address);
}
