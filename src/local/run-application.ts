import {
  type AgentContext,
  closeWithin,
  describeTimeout,
  type EndContext,
  judgeEnvoyEnd,
  withLog,
} from "../agent/index.ts";
import { namedEnvoy } from "../agent/start-envoy/index.ts";
import {
  applicationExitCode,
  describeApplicationEnd,
  findExecutable,
  type RunningApplication,
  startApplication,
} from "../application/index.ts";
import { AgentError, aborted, type Logger, silentLogger, systemClock } from "../base/index.ts";
import { type AgentConfig, formatProblem, logPlaceOf } from "../config/index.ts";
import type { EnvoyEnd } from "../envoy/supervisor/index.ts";
import { findSetpriv, type Host, outputUntil } from "../host/index.ts";
import { endApplication, waitUntilQuiet } from "./end-application.ts";
import type { LocalMeshOptions } from "./local-mesh.ts";
import type { Program } from "./namespace/index.ts";
import {
  isGiven,
  type RunSidecar,
  type RunWorkload,
  runConfigReader,
  startLocalSidecar,
  startOwnSidecar,
  withLogFlags,
} from "./run-sidecar.ts";
import { type RunSignals, signalCode, sortSignals } from "./run-signals.ts";

export interface RunOptions {
  /** The application's command line. Undefined: the sidecar alone, until a signal. */
  readonly command: readonly [file: string, ...args: string[]] | undefined;
  /** Flags of `proxy`, as `--name=value`. */
  readonly flags: readonly string[];
  /** Longest time from the start until the application starts. */
  readonly readyTimeoutMs: number;
  /** Whether the agent's lines below `warn` are shown. */
  readonly isVerbose: boolean;
  /** Bring a control plane and an example service along, as `pilotboat up` does. */
  readonly local: LocalRunOptions | undefined;
  /** The proxy is ready, and the application starts next. */
  readonly onReady: (proxy: ReadyProxy) => void;
  /** An address that was not known then. */
  readonly onAddress?: (address: RunSidecar["addresses"][number]) => void;
  /** Envoy failed for good. The application may still be running, and gets its time to exit. */
  readonly onFailure: (failure: AgentError) => void;
  /** Takes somebody's place in a mesh before anything else, for as long as the run lasts. Default: what the variables say. */
  readonly workload?: (log: Logger) => Promise<RunWorkload>;
}

interface ReadyProxy extends Pick<RunSidecar, "addresses"> {
  /** Since the agent's start. */
  readonly readyMs: number;
}

export type LocalRunOptions = Pick<LocalMeshOptions, "resources" | "appPort" | "onFetch" | "isTransparent">;

/**
 * What `pilotboat run` does: an agent, and once it is ready the application, until that ends. Resolves with the
 * application's exit code, 128 + the signal that it died of, or what stands in docs/architecture.md for an agent that
 * failed. Rejects with APPLICATION_NOT_FOUND, APPLICATION_NOT_EXECUTABLE, TIMEOUT, or what the agent's start rejects with.
 */
export async function runApplication(options: RunOptions, host: Host): Promise<number> {
  const signals = sortSignals(host);
  const over = new AbortController();
  const named = options.command?.[0];
  const file = named === undefined ? undefined : await findExecutable(named, { path: host.env.PATH, cwd: host.cwd });
  const args = withLogFlags(options.flags, options.isVerbose);
  // stderr has the reason of a failure anyway: the log has it, too, where somebody has chosen a log
  const hasOwnLog = isGiven(options.flags, "log_target") || isGiven(options.flags, "log_as_json");
  const work = async (log: Logger): Promise<number> => {
    await using workload = await options.workload?.(log);
    const read = await runConfigReader(args, host, workload);
    const { config, warnings } = await read();
    if (options.local === undefined) for (const warning of warnings) log.warn(formatProblem(warning));
    // never to stdout, which is the application's; and nothing of the lines that only say that Envoy exits
    const envoyOutput = options.isVerbose ? host.stderr : outputUntil(host.stderr, over.signal);
    const sidecar = await startSidecar(options, config, {
      host: { ...host, stdout: envoyOutput, stderr: envoyOutput },
      log,
      signals,
      readAgain: read,
      placeListener: workload?.placeListener,
    });
    if (sidecar === undefined) return signalCode(signals);
    try {
      const named = await namedEnvoy(config, host.env);
      const endContext = { named, env: host.env, log: hasOwnLog ? log : silentLogger };
      return await runBeside(joined(sidecar, workload), { ...options, file, endContext }, { host, log, signals });
    } finally {
      over.abort();
      const isAskedAlone = options.command === undefined && signals.received.length > 0;
      signals.beginEnd("the application exited");
      if (!isAskedAlone) sidecar.agent.skipDrain(); // what is still open leads to nobody
      const isClosed = await closeWithin(sidecar, signals.force);
      if (!isClosed) log.error(describeTimeout(sidecar.agent));
    }
  };
  return withLog(logPlaceOf(args, host.cwd), host, work, { tellsFailure: hasOwnLog });
}

/** With what there is to say of the workload, too. */
function joined(sidecar: RunSidecar, workload: RunWorkload | undefined): RunSidecar {
  if (workload === undefined) return sidecar;
  const variables = { ...sidecar.variables, ...workload.variables };
  return {
    ...sidecar,
    variables,
    onLater: workload.onLater,
    get addresses() {
      return [...workload.addresses(), ...sidecar.addresses]; // some are known only once Envoy is configured
    },
  };
}

interface Surroundings {
  readonly host: Host;
  readonly log: Logger;
  readonly signals: RunSignals;
}

/** Undefined when a signal came first. */
async function startSidecar(
  { local }: RunOptions,
  config: AgentConfig,
  { host, log, signals, ...context }: Surroundings & Pick<AgentContext, "readAgain" | "placeListener">,
): Promise<RunSidecar | undefined> {
  const own: Host = { ...host, signals };
  const starting =
    local === undefined
      ? startOwnSidecar(config, { host: own, log, ...context })
      : startLocalSidecar(config, {
          ...local,
          ...(config.flags.envoy === "" ? {} : { envoy: config.flags.envoy }),
          ...(config.flags["envoy-version"] === "" ? {} : { envoyVersion: config.flags["envoy-version"] }),
          host: own,
          log,
          onStep: (step, result, ms) => log.info(`${step}: ${result}`, { ms: Math.round(ms) }),
        });
  return starting.catch((error: unknown) => {
    if (signals.stop.aborted) return undefined;
    throw error;
  });
}

type Beside = RunOptions & { readonly file: string | undefined; readonly endContext: EndContext };

async function runBeside(sidecar: RunSidecar, options: Beside, around: Surroundings): Promise<number> {
  const { host, log, signals } = around;
  const failed = await waitUntilReady(sidecar, options, signals);
  if (failed !== undefined) return (await reportEnd(failed, options)) || 1; // a run without its application is no success
  if (signals.stop.aborted) return signalCode(signals);
  const { agent, addresses } = sidecar;
  options.onReady({ addresses, readyMs: agent.timeline.marks.get("ready") ?? 0 });
  if (options.onAddress !== undefined) sidecar.onLater?.(options.onAddress);
  if (options.file === undefined) return runAlone(sidecar, options);
  const program = { file: options.file, args: options.command?.slice(1) ?? [] };
  const application = await startBeside(program, sidecar, host);
  signals.attach(application);
  log.info("The application runs", { pid: application.pid });
  const first = await firstEnd(application, sidecar, signals.stop);
  const sinceMs = systemClock.now();
  if (first.kind === "envoy") log.warn("Envoy is gone; stopping the application");
  const envoyCode = first.kind === "envoy" ? await reportEnd(first.end, options) : 0;
  if (first.kind !== "application") await endApplication({ application, sidecar, signals, log });
  const end = await application.ended;
  log.info(`The application exited: ${describeApplicationEnd(end)}`);
  signals.beginEnd("the application exited");
  if (first.kind !== "envoy") await waitUntilQuiet({ sidecar, signals, log }, sinceMs);
  return envoyCode || applicationExitCode(end);
}

/** In its network namespace, where it has one of its own. */
async function startBeside(
  program: Program,
  { enter, variables }: RunSidecar,
  host: Host,
): Promise<RunningApplication> {
  if (enter !== undefined) {
    const { startInside } = await import("./namespace/index.ts");
    return startInside(program, { enter, variables }, host);
  }
  const setpriv = await findSetpriv(host.env.PATH);
  return startApplication({ ...program, cwd: host.cwd, env: { ...host.env, ...variables }, setpriv });
}

/** Until a signal or `/quitquitquit`, which is how it is meant to end. */
async function runAlone({ agent }: RunSidecar, options: Beside): Promise<number> {
  const end = await agent.ended;
  return end.kind === "envoy" ? (await reportEnd(end.end, options)) || 1 : 0;
}

/** Resolves with Envoy's end when that comes first. Rejects with TIMEOUT, naming what is still awaited. */
async function waitUntilReady(
  { agent }: RunSidecar,
  { command, readyTimeoutMs }: RunOptions,
  signals: RunSignals,
): Promise<EnvoyEnd | undefined> {
  const what = command === undefined ? "the sidecar" : `"${command[0]}"`;
  const enough = new AbortController();
  const limit = systemClock.sleep(readyTimeoutMs, AbortSignal.any([enough.signal, signals.stop]));
  const answer = await Promise.race([
    agent.ready.then(
      () => "ready",
      () => "ended",
    ),
    limit.then(
      () => "late",
      () => "ended",
    ),
  ]).finally(() => enough.abort());
  if (answer === "ready" || signals.stop.aborted) return undefined;
  if (answer === "late") {
    const reason = (await agent.whyNotReady()) ?? "it has just become ready";
    const seconds = readyTimeoutMs / 1_000;
    throw new AgentError("TIMEOUT", `Cannot start ${what}: the proxy was not ready within ${seconds} s: ${reason}`, {
      hint: "Raise --ready-timeout, or add --verbose to see what the sidecar does",
    });
  }
  const end = await agent.ended;
  if (end.kind === "envoy") return end.end;
  throw new AgentError("STOPPED", `Cannot start ${what}: ${end.reason}`);
}

/** What ends a run: the application by itself, a signal, or an Envoy that is given up. */
type FirstEnd =
  | { readonly kind: "application" }
  | { readonly kind: "signal" }
  | { readonly kind: "envoy"; readonly end: EnvoyEnd };

/** `/quitquitquit` is no end: jobs call it when they are done, and keep Envoy until they have ended. */
async function firstEnd(application: RunningApplication, { agent }: RunSidecar, stop: AbortSignal): Promise<FirstEnd> {
  const stopped = aborted(stop).then((): FirstEnd => ({ kind: "signal" }));
  const gaveUp = new Promise<FirstEnd>((resolve) => {
    void agent.ended.then((end) => end.kind === "envoy" && resolve(end));
  });
  const own = application.ended.then((): FirstEnd => ({ kind: "application" }));
  return Promise.race([own, stopped, gaveUp]);
}

async function reportEnd(
  end: EnvoyEnd,
  { onFailure, endContext }: Pick<RunOptions, "onFailure"> & { readonly endContext: EndContext },
): Promise<number> {
  const { failure, exitCode } = await judgeEnvoyEnd(end, endContext);
  if (failure !== undefined) onFailure(failure);
  return exitCode;
}
