import { aborted, describeError, isStopped, type Logger, systemClock } from "../base/index.ts";
import {
  type AgentConfig,
  type ConfigDefaults,
  type ConfigWords,
  formatProblem,
  type LoadedConfig,
  loadConfig,
  logPlaceOf,
  type Problem,
} from "../config/index.ts";
import { type Host, keepYoungGenerationSmall } from "../host/index.ts";
import { hideSecrets } from "../istio/index.ts";
import { proxyConfigToJson } from "../istio/mesh/index.ts";
import { VERSION } from "../version.ts";
import { judgeEnvoyEnd, type RunOutcome } from "./judge-envoy-end.ts";
import { withLog } from "./log-sink.ts";
import { type AgentContext, plannedPorts } from "./parts/index.ts";
import { freePortsFor, portDefaults } from "./ports/index.ts";
import type { RunningAgent } from "./running-agent.ts";
import { startAgent } from "./start-agent.ts";
import { namedEnvoy } from "./start-envoy/index.ts";

/** What `pilotboat proxy` does: reads the words and runs until the end. Rejects as `loadConfig` and `startAgent` do. */
export async function runProxy(words: Pick<ConfigWords, "args">, host: Host): Promise<RunOutcome> {
  return withLog(logPlaceOf(words.args, host.cwd), host, async (log) => {
    const { stop } = host.signals;
    const read = (defaults: readonly ConfigDefaults[] = []): Promise<LoadedConfig> =>
      loadConfig({ ...words, env: host.env, cwd: host.cwd, stop, defaults });
    const asked = await read();
    const free = await freePortDefaults(asked.config);
    const { config, warnings } = free.length === 0 ? asked : await read(free);
    // by default Node opens its inspector at this signal, and any process of this user can send it
    host.onSignal?.((signal) => log.debug("Ignoring a signal", { signal }), ["SIGUSR1"]);
    announce(config, warnings, log);
    return runAgent(config, { host, log, readAgain: () => read(free) });
  });
}

/** With `--free-ports`: free ports as defaults, in place of those that are taken and that the user has not set. */
export async function freePortDefaults(config: AgentConfig): Promise<readonly ConfigDefaults[]> {
  if (!config.flags["free-ports"]) return [];
  const chosen = await freePortsFor(plannedPorts(config), (from) => config.origins.has(from));
  return Object.keys(chosen).length === 0 ? [] : [portDefaults("--free-ports", chosen)];
}

/** Longest time that closing may take after a third signal: Envoy is killed at once, and the other parts have 10 s. */
const FORCED_LIMIT_MS = 15_000;

const GOOD: RunOutcome = { exitCode: 0, failure: undefined };

async function runAgent(config: AgentConfig, context: AgentContext): Promise<RunOutcome> {
  const { host, log } = context;
  const { signals } = host;
  const agent = await startAgent(config, context).catch((error: unknown) => {
    if (!isStopped(error)) throw error;
    log.info("Agent has successfully terminated", { reason: describeError(error) }); // asked to stop while it started
    return undefined;
  });
  if (agent === undefined) return GOOD;
  // not before: what the start loads would be copied again and again, and V8 would refuse its compiled form
  agent.ready.then(keepYoungGenerationSmall).catch(() => undefined); // `ended` reports an agent that ends before
  const end = await agent.ended;
  if (end.kind === "asked") log.info(`Ending: ${end.reason}`);
  const isClosed = await closeWithin(agent, signals.force);
  if (!isClosed) log.error(describeTimeout(agent));
  if (end.kind === "asked") {
    log.info("Agent has successfully terminated");
    return GOOD;
  }
  return judgeEnvoyEnd(end.end, { named: await namedEnvoy(config, host.env), env: host.env, log });
}

export function describeTimeout(agent: Pick<RunningAgent, "stillOpen">): string {
  return `Shutdown timed out; exiting with these still open: ${agent.stillOpen().join(", ") || "Envoy"}`;
}

/** Closing waits for Envoy's drain as long as that takes; a third signal does not wait any more. */
export async function closeWithin(agent: AsyncDisposable, force: AbortSignal): Promise<boolean> {
  const closed = agent[Symbol.asyncDispose]().then(() => true);
  const late = aborted(force).then(() => systemClock.sleep(FORCED_LIMIT_MS));
  return Promise.race([closed, late.then(() => false)]);
}

/** The first lines of every log, as the reference writes them; the configuration in YAML's one-line form, which is JSON. */
function announce(config: AgentConfig, warnings: readonly Problem[], log: Logger): void {
  const flags = Object.entries(config.flags).sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [name, value] of flags) {
    log.info(`FLAG: --${name}="${Array.isArray(value) ? `[${value.join(",")}]` : String(value)}"`);
  }
  log.info(`Version ${VERSION}`, { role: config.role });
  for (const warning of warnings) log.warn(formatProblem(warning));
  log.info(`Effective config: ${JSON.stringify(hideSecrets(proxyConfigToJson(config.proxy)).document)}`);
}
