import { cpus } from "node:os";
import { AgentError, type Logger, type Metrics } from "../base/index.ts";
import type { AgentConfig } from "../config/index.ts";
import { askVersion, type FoundEnvoy, findEnvoy } from "../envoy/binary/index.ts";
import {
  createAdminClient,
  envoyArguments,
  envoyEnvironment,
  featuresOf,
  findSetpriv,
  readCgroup,
  type SupervisedEnvoy,
  superviseEnvoy,
} from "../envoy/index.ts";
import type { NodeDescription } from "../node/index.ts";
import type { AgentContext } from "./agent-context.ts";
import { threadsByQuota } from "./machine-limits.ts";
import * as options from "./room-options.ts";
import type { ClaimedFolder } from "./run-file.ts";

/** Finds the executable. Rejects with ENVOY_NOT_FOUND or ENVOY_NOT_EXECUTABLE. */
export async function findBinary(config: AgentConfig, { host }: AgentContext): Promise<FoundEnvoy> {
  const explicit = options.explicitEnvoys(config);
  const found = await findEnvoy({ explicit, usual: config.proxy.binaryPath, env: host.env, cwd: config.cwd });
  if (found !== undefined) return found;
  throw new AgentError(
    "ENVOY_NOT_FOUND",
    `Cannot find Envoy: there is none at "${config.proxy.binaryPath}", on PATH or in the cache`,
    { hint: 'Run "pilotboat envoy fetch", or name one with --envoy' },
  );
}

export interface SpawnParts {
  readonly config: AgentConfig;
  readonly context: AgentContext;
  readonly node: NodeDescription;
  readonly bootstrapFile: string;
  readonly envoyBinary: FoundEnvoy;
  readonly metrics: Metrics;
  /** Told of each Envoy that is started, by what it can be known again. */
  readonly onSpawn: ClaimedFolder["noteEnvoy"];
}

/** Spawns Envoy and supervises it. */
export async function spawnEnvoy(parts: SpawnParts): Promise<SupervisedEnvoy> {
  const { config, context, node, bootstrapFile, envoyBinary, metrics } = parts;
  const { host, log } = context;
  const concurrency = await chooseConcurrency(config, log);
  const wanted = { ...options.argumentsOptions(config, node, bootstrapFile), ...concurrency };
  // only one optional flag differs between versions that count: an unknown Envoy is asked only when it is wanted
  const version =
    envoyBinary.version ?? (wanted.fileFlushMinSizeKb > 0 ? await askVersion(envoyBinary.path) : undefined);
  const features = featuresOf(version);
  const { list, warnings } = envoyArguments(wanted, features);
  for (const warning of warnings) log.warn(warning);
  log.info(`Envoy command: ${JSON.stringify(list)}`, { binary: envoyBinary.path });
  return superviseEnvoy({
    spawn: {
      binary: envoyBinary.path,
      args: list,
      cwd: config.cwd,
      env: envoyEnvironment(host.env, config.settings.compliancePolicy),
      runAs: options.runAs(config, process.getuid?.()),
      setpriv: await findSetpriv(host.env.PATH),
      stdout: host.stdout,
      stderr: host.stderr,
    },
    features,
    admin: createAdminClient(options.localhostOf(node), config.proxy.proxyAdminPort),
    drain: options.drainOptions(config),
    restart: options.restartPolicy(config),
    signals: host.signals,
    log,
    metrics,
    onSpawn: (pid) => parts.onSpawn(pid, { binary: envoyBinary.path, configFile: bootstrapFile }),
  });
}

/** What the configuration says holds; without a word of it the CPU quota decides. */
async function chooseConcurrency(config: AgentConfig, log: Logger): Promise<{ readonly concurrency?: number }> {
  if (config.proxy.concurrency !== undefined) return {};
  const { limits } = await readCgroup();
  const threads = threadsByQuota(config, limits, cpus().length);
  if (threads === undefined) return {};
  log.info("Envoy gets worker threads by the CPU quota", { threads, quota: limits.cpus, cpus: cpus().length });
  return { concurrency: threads };
}
