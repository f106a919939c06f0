import { AgentError, createLogger, describeError, type Logger, systemClock } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import { PATHS } from "../istio/index.ts";
import { agentUrl } from "./call-agent.ts";
import { exchange } from "./http-exchange.ts";
import { parseStrictFlags } from "./strict-flags.ts";

const HELP = `Usage: pilotboat wait [flags]

Waits until the proxy is ready; fails with the last reason when it does not become so.

Flags:
  --timeoutSeconds N        how long to wait in all (default 60)
  --requestTimeoutMillis N  limit of one question (default 500)
  --periodMillis N          pause before each question (default 500)
  --url URL                 what to ask (default http://localhost:15021/healthz/ready)
  --run-folder FOLDER       ask the agent that runs there, or is about to, at its status port

Examples:
  pilotboat wait
  pilotboat wait --timeoutSeconds=5 --url=http://localhost:15020/healthz/ready
`;

const DEFAULT_URL = "http://localhost:15021/healthz/ready";
const FLAGS = [
  { name: "timeoutSeconds", type: "int", default: 60, help: "" },
  { name: "requestTimeoutMillis", type: "int", default: 500, help: "" },
  { name: "periodMillis", type: "int", default: 500, help: "" },
  { name: "url", type: "string", default: "", help: "" },
  { name: "run-folder", type: "string", default: "", help: "" },
] as const;

interface Wait {
  /** Asked for anew before each question: an agent that is about to start has none yet. */
  readonly url: () => Promise<URL>;
  readonly timeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly periodMs: number;
}

/** Drop-in for `pilot-agent wait`. Rejects with TIMEOUT, the last failure in its message, or STOPPED. */
export async function run(args: readonly string[], host: Host): Promise<number> {
  const { flags, wantsHelp } = parseStrictFlags("wait", args, FLAGS);
  if (wantsHelp) {
    host.stdout.write(HELP);
    return 0;
  }
  const wait: Wait = {
    url: urlOf(flags.url, flags["run-folder"], host),
    timeoutMs: flags.timeoutSeconds * 1_000,
    requestTimeoutMs: flags.requestTimeoutMillis,
    periodMs: flags.periodMillis,
  };
  const log = createLogger({ write: (line) => void host.stdout.write(line) });
  const { stop } = host.signals;
  await waitUntilReady(wait, log, stop).catch((error: unknown) => {
    if (!stop.aborted) throw error;
    throw new AgentError("STOPPED", `Gave up waiting for the proxy: ${describeError(error)}`);
  });
  return 0;
}

async function waitUntilReady(wait: Wait, log: Logger, stop: AbortSignal): Promise<void> {
  log.info(`Waiting for Envoy proxy to be ready (timeout: ${wait.timeoutMs / 1_000} seconds)...`);
  const deadlineMs = Date.now() + wait.timeoutMs;
  let lastError: string | undefined;
  while (Date.now() < deadlineMs) {
    await systemClock.sleep(wait.periodMs, stop);
    lastError = await whyNotReady(wait, stop);
    if (lastError === undefined) {
      log.info("Envoy is ready!");
      return;
    }
    log.debug(`Not ready yet: ${lastError}`);
  }
  throw new AgentError(
    "TIMEOUT",
    `timeout waiting for Envoy proxy to become ready. Last error: ${lastError ?? "<nil>"}`,
  );
}

/** Who answers may say anything. */
const MOST_REASON = 4_096;

async function whyNotReady({ url, requestTimeoutMs }: Wait, stop: AbortSignal): Promise<string | undefined> {
  try {
    const what = { method: "GET", url: await url(), timeoutMs: requestTimeoutMs, signal: stop };
    const { status, body } = await exchange(what);
    if (status === 200) return undefined;
    const reason = body.slice(0, MOST_REASON).trim();
    return reason === "" ? `HTTP status code ${status}` : `HTTP status code ${status}: ${reason}`;
  } catch (error) {
    stop.throwIfAborted();
    return describeError(error);
  }
}

/** Throws USAGE when both are given, or the URL is none. */
function urlOf(text: string, runFolder: string, host: Host): () => Promise<URL> {
  if (runFolder === "") {
    const url = parseUrl(text || DEFAULT_URL);
    return async () => url;
  }
  if (text !== "") throw new AgentError("USAGE", "Cannot wait for two: give --url or --run-folder");
  const place = { runFolder, configPath: PATHS.config };
  return async () => new URL("/healthz/ready", await agentUrl(host, place));
}

function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === "http:" || url?.protocol === "https:") return url;
  throw new AgentError("USAGE", `Cannot use --url "${text}": expected an http or https URL`);
}
