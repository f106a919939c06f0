import { cpus } from "node:os";
import { AgentError, type Logger, type Metrics, systemClock } from "../../base/index.ts";
import type { AgentConfig } from "../../config/index.ts";
import { askVersion, type FoundEnvoy, fetchCommand, findEnvoy, locateEnvoy } from "../../envoy/binary/index.ts";
import { dumpThreads, WATCHDOG, watchForHang } from "../../envoy/evidence/index.ts";
import {
  type AdminClient,
  configFileOf,
  createAdminClient,
  type EnvoyFeatures,
  envoyArguments,
  envoyEnvironment,
  featuresOf,
} from "../../envoy/index.ts";
import { RUN_VARIABLE } from "../../envoy/left-behind/index.ts";
import { OutputSource } from "../../envoy/output/index.ts";
import { type SpawnOptions, type SupervisedEnvoy, superviseEnvoy } from "../../envoy/supervisor/index.ts";
import { type Cgroup, descriptorOf, findSetpriv, type Host, readCgroup, temporaryPlace } from "../../host/index.ts";
import { hideSecretsInWord } from "../../istio/index.ts";
import type { NodeDescription } from "../../node/index.ts";
import type { ClaimedFolder } from "../run-folder/index.ts";
import { inRunFolder, runAs } from "../run-folder/index.ts";
import type { Around } from "./around.ts";
import { evidenceKeeper } from "./crash-evidence.ts";
import { threadsByQuota } from "./machine-limits.ts";
import * as options from "./options.ts";

/** Finds the executable. Rejects with ENVOY_NOT_FOUND or ENVOY_NOT_EXECUTABLE. */
export async function findBinary(config: AgentConfig, { host }: Around): Promise<FoundEnvoy> {
  const wanted = options.wantedEnvoy(config);
  const found = await findEnvoy({ ...wanted, env: host.env });
  if (found !== undefined) return found;
  const { version, usual } = wanted;
  const name = version === undefined ? "Envoy" : `Envoy ${version}`;
  throw new AgentError("ENVOY_NOT_FOUND", `Cannot find ${name}: there is none at "${usual}", on PATH or in the cache`, {
    hint: `Run "${fetchCommand(version)}", or name one with --envoy`,
  });
}

/** The absolute path of the Envoy that the user chose. */
export async function namedEnvoy(config: AgentConfig, env: Host["env"]): Promise<string | undefined> {
  const [named] = options.explicitEnvoys(config);
  return named && locateEnvoy(named.path, { env, cwd: config.cwd });
}

/** What the machine has for Envoy; asked early, because it is many small files. */
export interface Surroundings {
  /** Where `setpriv` is. */
  readonly setpriv: string | undefined;
  readonly cgroup: Cgroup;
}

/** Never rejects. */
export async function lookAround({ host }: Around): Promise<Surroundings> {
  const [setpriv, cgroup] = await Promise.all([findSetpriv(host.env.PATH), readCgroup()]);
  return { setpriv, cgroup };
}

/** Makes the outputs of all Envoys of this agent. */
export function outputSource(config: AgentConfig, { host, log }: Around): OutputSource {
  return new OutputSource({
    folders: [inRunFolder(config, config.proxy.configPath), temporaryPlace(host).folder, "/dev/shm"],
    path: host.env.PATH,
    owner: runAs(config, process.getuid?.()),
    ownStdout: descriptorOf(host.stdout),
    log,
  });
}

export interface PlanParts {
  readonly surroundings: Surroundings;
  readonly output: OutputSource;
  readonly config: AgentConfig;
  readonly context: Around;
  readonly node: NodeDescription;
  readonly bootstrapFile: string;
  readonly envoyBinary: FoundEnvoy;
}

/** What Envoy is to be started with. */
export interface EnvoyPlan {
  readonly spawn: SpawnOptions;
  readonly version: string | undefined;
  readonly features: EnvoyFeatures;
  readonly cgroup: Cgroup;
}

export async function planEnvoy(parts: PlanParts): Promise<EnvoyPlan> {
  const { config, context, node, bootstrapFile, envoyBinary, surroundings, output } = parts;
  const { host, log } = context;
  const { cgroup, setpriv } = surroundings;
  const threads = chooseThreads(config, cgroup, log);
  const wanted = {
    ...options.argumentsOptions(config, node, bootstrapFile),
    ...(threads === undefined ? {} : { concurrency: threads }),
  };
  // an Envoy whose version nobody knows is asked only when something depends on it
  const isVersionWanted = wanted.fileFlushMinSizeKb > 0 || wanted.isHotRestart;
  const version = envoyBinary.version ?? (isVersionWanted ? await askVersion(envoyBinary.path, host.env) : undefined);
  const features = featuresOf(version);
  if (wanted.isHotRestart && !features.hasSocketPath) throw cannotHotRestart(version);
  const { list, warnings } = envoyArguments(wanted, features);
  for (const warning of warnings) log.warn(warning);
  const spawn = {
    binary: envoyBinary.path,
    args: list,
    cwd: config.cwd,
    env: envoyEnvironment(host.env, config.settings.compliancePolicy),
    runAs: runAs(config, process.getuid?.()),
    setpriv,
    output,
    drainLimitSeconds: options.hotRestart(config)?.parentShutdownSeconds,
    stdout: host.stdout,
    stderr: host.stderr,
  };
  return { spawn, version, features, cgroup };
}

/** Without the flag the sockets are in the abstract name space, open to every user and container of the network namespace. */
function cannotHotRestart(version: string | undefined): AgentError {
  const text = `Cannot hot restart Envoy ${version}: it does not know --socket-path, and its sockets would be open to everybody`;
  return new AgentError("CONFIG_INVALID", text, { hint: "Take Envoy 1.17 or newer, or leave out --hot-restart" });
}

export interface SpawnParts extends EnvoyPlan {
  readonly config: AgentConfig;
  readonly context: Around;
  readonly node: NodeDescription;
  readonly metrics: Metrics;
  /** Called with the mark of each Envoy that is started, by which a later agent recognizes it. */
  readonly runFolder: Pick<ClaimedFolder, "noteEnvoy" | "secret">;
  /** Where the Envoys of a hot restart meet. */
  readonly socketPath: string | undefined;
}

/** Spawns Envoy and supervises it. */
export async function spawnEnvoy(parts: SpawnParts): Promise<SupervisedEnvoy> {
  const { config, context, node, metrics, spawn, version, features, cgroup, runFolder, socketPath } = parts;
  const { host, log } = context;
  const hotRestart = options.hotRestart(config);
  log.info(`Envoy command: ${JSON.stringify(spawn.args.map(hideSecretsInWord))}`, { binary: spawn.binary });
  const admin = createAdminClient(node.family.localhost, config.proxy.proxyAdminPort);
  const evidence = evidenceKeeper(config, version, cgroup, log);
  return superviseEnvoy({
    ...{ spawn, features, admin, log, metrics },
    drain: options.drainOptions(config),
    restart: options.restartPolicy(config),
    hotRestart: hotRestart && { ...hotRestart, socketPath },
    env: { [RUN_VARIABLE]: runFolder.secret },
    signals: host.signals,
    onNews: context.onEnvoyNews,
    onSpawn(pid, { binary, args }) {
      evidence.noteSpawn();
      runFolder.noteEnvoy(pid, { binary, configFile: configFileOf(args) });
    },
    keepEvidence: (run, traces) => evidence.keep(run, traces),
    ...(config.settings.hasWatchdog ? { watchForHang: watchdog(admin, log) } : {}),
  });
}

/** Resolves with what the threads of a silent Envoy do, before anything is done to it. */
function watchdog(admin: AdminClient, log: Logger): (pid: number, stop: AbortSignal) => Promise<string | undefined> {
  return async (pid, stop) => {
    const hang = await watchForHang({ admin, clock: systemClock, ...WATCHDOG, stop, log });
    return hang === undefined ? undefined : ((await dumpThreads(pid)) ?? "");
  };
}

/** What the configuration says holds; without a word of it the CPU quota decides. */
function chooseThreads(config: AgentConfig, { limits }: Cgroup, log: Logger): number | undefined {
  if (limits.cpus === undefined) return undefined; // else the machine's are counted, which reads all of /proc/cpuinfo
  const threads = threadsByQuota(config, limits, cpus().length);
  if (threads === undefined) return undefined;
  log.info("Envoy gets worker threads by the CPU quota", { threads, quota: limits.cpus, cpus: cpus().length });
  return threads;
}
