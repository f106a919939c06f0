import type { AgentReport } from "../agent/index.ts";
import { AgentError, createLogger, describeError, type Logger, systemClock } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import { AGENT_FLAGS, placeOf } from "./agent-place.ts";
import { defineCommand, type Input } from "./contract/index.ts";

const DEFAULT_URL = "http://localhost:15021/healthz/ready";
const FLAGS = [
  { name: "timeoutSeconds", type: "int", default: 60, help: "Longest time to wait", value: "SECONDS" },
  { name: "requestTimeoutMillis", type: "int", default: 500, help: "Time limit of one request", value: "MILLIS" },
  { name: "periodMillis", type: "int", default: 500, help: "Pause before each request", value: "MILLIS" },
  { name: "url", type: "string", default: undefined, help: `What to ask (default ${DEFAULT_URL})`, value: "URL" },
  ...AGENT_FLAGS,
] as const;

/** Drop-in for `pilot-agent wait`. Rejects with TIMEOUT, the last failure in its message, or STOPPED. */
export const command = defineCommand({
  name: "wait",
  group: "container",
  summary: "Wait until the proxy is ready",
  description: [
    "Waits until the proxy is ready. If it does not become ready in time, the command fails with the last reason, which the agent gives where Envoy's port is still closed (at statusPort of PROXY_CONFIG, 15020 by default).",
    "With --run-folder it asks the agent that runs there, or is about to, at its status port.",
  ],
  flags: FLAGS,
  words: "reference",
  examples: [
    "pilotboat wait",
    "pilotboat wait --timeoutSeconds=5 --url=http://localhost:15020/healthz/ready",
    "pilotboat wait --run-folder ~/sidecar",
  ],
  async run({ flags }, host) {
    const wait: Wait = {
      url: urlOf(flags, host),
      agentsReason: (stop) => agentsReason(host, stop),
      timeoutMs: flags.timeoutSeconds * 1_000,
      requestTimeoutMs: flags.requestTimeoutMillis,
      periodMs: flags.periodMillis,
    };
    const log = createLogger({ write: (line) => void host.stdout.write(line) });
    const { stop } = host.signals;
    await waitUntilReady(wait, log, stop).catch((error: unknown) => {
      if (!stop.aborted) throw error;
      throw new AgentError("STOPPED", `Stopped waiting for the proxy: ${describeError(error)}`);
    });
    return 0;
  },
});

interface Wait {
  /** Asked for anew before each question: an agent that is about to start has none yet. */
  readonly url: () => Promise<URL>;
  /** What the agent says of it, in one line; undefined when it does not answer. */
  readonly agentsReason: (stop: AbortSignal) => Promise<string | undefined>;
  readonly timeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly periodMs: number;
}

async function waitUntilReady(wait: Wait, log: Logger, stop: AbortSignal): Promise<void> {
  log.info(`Waiting for Envoy proxy to be ready (timeout: ${wait.timeoutMs / 1_000} seconds)...`);
  const deadlineMs = Date.now() + wait.timeoutMs;
  let last: Failure | undefined;
  let reason: string | undefined;
  let asked: Promise<void> | undefined;
  while (Date.now() < deadlineMs) {
    await systemClock.sleep(wait.periodMs, stop);
    last = await whyNotReady(wait, stop);
    if (last === undefined) {
      log.info("Envoy is ready!");
      return;
    }
    log.debug(`Not ready yet: ${last.text}`);
    const isLastRound = deadlineMs - Date.now() < wait.periodMs + wait.requestTimeoutMs;
    if (last.isReasonMissing && isLastRound) {
      asked ??= wait.agentsReason(stop).then((text) => {
        reason = text;
      });
    }
  }
  await Promise.race([asked, systemClock.sleep(LAST_REASON_MS, stop)]); // it was asked while there was time
  const more = last?.isReasonMissing ? reason : undefined;
  throw new AgentError(
    "TIMEOUT",
    `timeout waiting for Envoy proxy to become ready. Last error: ${[last?.text ?? "<nil>", more ?? []].flat().join("; ")}`,
  );
}

interface Failure {
  readonly text: string;
  /** Whether it does not say why the proxy is not ready, and the agent on this machine may. */
  readonly isReasonMissing: boolean;
}

/** Characters. Any program may answer, with a text of any length. */
const MOST_REASON = 4_096;

async function whyNotReady({ url, requestTimeoutMs }: Wait, stop: AbortSignal): Promise<Failure | undefined> {
  const { exchange } = await import("./http-exchange.ts");
  let asked: URL | undefined;
  try {
    asked = await url();
    const what = { method: "GET", url: asked, timeoutMs: requestTimeoutMs, signal: stop };
    const { status, body } = await exchange(what);
    if (status === 200) return undefined;
    const reason = body.slice(0, MOST_REASON).trim();
    if (reason !== "") return { text: `HTTP status code ${status}: ${reason}`, isReasonMissing: false };
    return { text: `HTTP status code ${status}`, isReasonMissing: isHere(asked) };
  } catch (error) {
    stop.throwIfAborted();
    return { text: describeError(error), isReasonMissing: asked !== undefined && isHere(asked) };
  }
}

function isHere({ hostname }: URL): boolean {
  return hostname === "localhost" || hostname.startsWith("127.") || hostname === "[::1]";
}

const REASON_LIMIT_MS = 2_000;
/** Past the deadline. The agent is on this machine. */
const LAST_REASON_MS = 200;

/** Envoy's port is closed until it has configuration. The agent's own is open, and has the reason. */
async function agentsReason(host: Host, signal: AbortSignal): Promise<string | undefined> {
  const [{ configuredPorts }, { exchange }] = await Promise.all([
    import("./configured-ports.ts"),
    import("./http-exchange.ts"),
  ]);
  const { status: port = 15020 } = configuredPorts(host.env);
  const url = new URL(`http://localhost:${port}/healthz/ready`);
  const headers = { Accept: "application/json" };
  try {
    const { body } = await exchange({ method: "GET", url, headers, timeoutMs: REASON_LIMIT_MS, signal });
    const { ready, message } = JSON.parse(body) as Partial<AgentReport["readiness"]>;
    if (ready === true) return `the agent (port ${port}) is ready`;
    return typeof message === "string" ? `the agent (port ${port}): ${message.slice(0, MOST_REASON)}` : undefined;
  } catch {
    return undefined; // no agent, or one of another kind
  }
}

/** Throws USAGE when both are given, or the URL is none. */
function urlOf(flags: Input<typeof FLAGS>["flags"], host: Host): () => Promise<URL> {
  if (!flags["run-folder"]) {
    const url = parseUrl(flags.url || DEFAULT_URL);
    return async () => url;
  }
  if (flags.url) throw new AgentError("USAGE", "Cannot wait for two targets: give either --url or --run-folder");
  const place = placeOf(flags);
  return async () => {
    const { agentUrl } = await import("./call-agent.ts");
    return new URL("/healthz/ready", await agentUrl(host, place));
  };
}

function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === "http:" || url?.protocol === "https:") return url;
  throw new AgentError("USAGE", `Cannot use --url "${text}": expected an http or https URL`);
}
