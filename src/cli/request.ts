import { parse } from "yaml";
import type { AgentReport } from "../agent/index.ts";
import { AgentError, describeError } from "../base/index.ts";
import { type Host, writeExact } from "../host/index.ts";
import { PATHS } from "../istio/index.ts";
import { readAnswer } from "./agent-answer.ts";
import { agentUrl, callAgent } from "./call-agent.ts";
import { exchange } from "./http-exchange.ts";
import { parseStrictFlags } from "./strict-flags.ts";

const HELP = `Usage: pilotboat request <method> <path> [<body>] [--debug-port PORT | --run-folder FOLDER]

Sends a request to this machine's Envoy (admin, 15000) or agent (status, 15020) and prints the answer.

Flags:
  --debug-port PORT    15000, 15004, 15020, 15021, or a port that PROXY_CONFIG or ENVOY_STATUS_PORT names (default 15000)
  --run-folder FOLDER  the agent that runs there: 15000 stands for its Envoy's admin, 15020 for its status port and 15021
                       for its Envoy's health, whatever ports they really have

Examples:
  pilotboat request GET stats
  pilotboat request POST 'logging?level=debug'
  pilotboat request --debug-port 15020 POST drain
  pilotboat request --run-folder /tmp/sidecar GET clusters
`;

/** Source: istio/istio pilot/cmd/pilot-agent/app/request.go. */
const ALLOWED_PORTS = [15000, 15004, 15020, 15021];
const FLAGS = [
  { name: "debug-port", type: "int", default: 15000, help: "" },
  { name: "run-folder", type: "string", default: "", help: "" },
] as const;
const TIMEOUT_MS = 60_000;

/** Drop-in for `pilot-agent request`: a status below 400, and 404, prints the body; others reject with REQUEST_FAILED. */
export async function run(args: readonly string[], host: Host): Promise<number> {
  const { flags, positionals, wantsHelp } = parseStrictFlags("request", args, FLAGS);
  if (wantsHelp) {
    host.stdout.write(HELP);
    return 0;
  }
  const [method, path, body] = positionals;
  if (method === undefined || path === undefined) {
    throw new AgentError("USAGE", `requires at least 2 arg(s), only received ${positionals.length}`, {
      hint: 'See "pilotboat request --help"',
    });
  }
  const base = await baseUrl(flags["debug-port"], flags["run-folder"], host);
  const url = new URL(`${base.origin}/${path.replace(/^\//, "")}`);
  writeExact(host.stdout, `${await fetchBody(url, { method, body, stop: host.signals.stop })}\n`);
  return 0;
}

const LOOK_LIMIT_MS = 5_000;

/** Where to ask. Throws USAGE for a port that is not allowed, and rejects as `callAgent` does. */
async function baseUrl(port: number, runFolder: string, host: Host): Promise<URL> {
  if (runFolder === "") {
    checkPort(port, host.env);
    return new URL(`http://localhost:${port}/`);
  }
  const place = { runFolder, configPath: PATHS.config };
  if (port === 15020) return agentUrl(host, place);
  const { body } = await callAgent(host, place, { method: "GET", path: "/debug/agent", limitMs: LOOK_LIMIT_MS });
  return readAnswer(body, ({ envoyAddresses: at }: AgentReport) => {
    const address = port === 15000 ? at?.admin : port === 15021 ? at?.health : undefined;
    if (address !== undefined) return new URL(`http://${address}/`);
    if (at === undefined) throw new AgentError("REQUEST_FAILED", "Cannot ask Envoy: its agent has none");
    throw new AgentError("USAGE", `debug port ${port} is not in allowed list [15000 15020 15021] of --run-folder`);
  });
}

interface What {
  readonly method: string;
  readonly body: string | undefined;
  readonly stop: AbortSignal;
}

async function fetchBody(url: URL, { method, body, stop }: What): Promise<string> {
  const what = { url, method, timeoutMs: TIMEOUT_MS, signal: stop, ...(body !== undefined && { body }) };
  const answer = await exchange(what).catch((error: unknown) => {
    throw new AgentError("REQUEST_FAILED", `Cannot ${method} "${url}": ${describeError(error)}`, { cause: error });
  });
  if (answer.status < 400 || answer.status === 404) return answer.body;
  throw new AgentError("REQUEST_FAILED", `received unsuccessful status code ${answer.status}: ${answer.body}`);
}

function checkPort(port: number, env: Host["env"]): void {
  if (ALLOWED_PORTS.includes(port) || configuredPorts(env).includes(port)) return;
  throw new AgentError("USAGE", `debug port ${port} is not in allowed list [${ALLOWED_PORTS.join(" ")}]`, {
    hint: "Ports that PROXY_CONFIG (proxyAdminPort, statusPort) or ENVOY_STATUS_PORT name are allowed as well",
  });
}

/** The agent's ports where they were moved: Istio's own list would make the drain hook of such a pod fail. */
function configuredPorts(env: Host["env"]): number[] {
  const ports = [Number(env.ENVOY_STATUS_PORT)];
  try {
    const config: unknown = parse(env.PROXY_CONFIG ?? "{}");
    if (typeof config === "object" && config !== null) {
      if ("proxyAdminPort" in config) ports.push(Number(config.proxyAdminPort));
      if ("statusPort" in config) ports.push(Number(config.statusPort));
    }
  } catch {
    // an unreadable PROXY_CONFIG allows nothing; the proxy command is the one that reports it
  }
  return ports;
}
