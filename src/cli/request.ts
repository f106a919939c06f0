import type { AgentReport } from "../agent/index.ts";
import { AgentError, describeError } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import { readAnswer } from "./agent-answer.ts";
import { AGENT_FLAGS, type AgentPlace, placeOf } from "./agent-place.ts";
import { defineCommand, type Input } from "./contract/index.ts";
import { writeExact } from "./terminal/index.ts";

/** Source: istio/istio pilot/cmd/pilot-agent/app/request.go. */
const ALLOWED_PORTS = [15000, 15004, 15020, 15021];
const FLAGS = [
  {
    name: "debug-port",
    type: "int",
    default: 15000,
    help: "15000, 15004, 15020, 15021, or a port that PROXY_CONFIG or ENVOY_STATUS_PORT names",
    value: "PORT",
  },
  ...AGENT_FLAGS,
] as const;
const TIMEOUT_MS = 60_000;

/** Drop-in for `pilot-agent request`: a status below 400, and 404, prints the body; others reject with REQUEST_FAILED. */
export const command = defineCommand({
  name: "request",
  group: "container",
  summary: "Ask this machine's Envoy or agent, as pilot-agent request does",
  description: [
    "Sends a request to this machine's Envoy (admin, 15000) or agent (status, 15020) and prints the answer.",
    "With --run-folder 15000 stands for the admin port of that agent's Envoy, 15020 for its status port and 15021 for its Envoy's health, whatever ports they really have.",
  ],
  usage: ["METHOD PATH [BODY] [flags]"],
  arguments: [
    { name: "METHOD", help: "GET or POST, for example" },
    { name: "PATH", help: "Path and query, with or without the first slash" },
    { name: "BODY", help: "What to send", isOptional: true },
  ],
  flags: FLAGS,
  words: "reference",
  examples: [
    "pilotboat request GET stats",
    "pilotboat request POST 'logging?level=debug'",
    "pilotboat request --debug-port 15020 POST drain",
    "pilotboat request --run-folder ~/sidecar GET clusters",
  ],
  similar: ["curl", "get", "admin"],
  async run({ flags, words: [method, path, body], usage }, host) {
    if (method === undefined || path === undefined) {
      throw usage(`requires at least 2 arg(s), only received ${method === undefined ? 0 : 1}`);
    }
    const base = await baseUrl(flags, host);
    const url = new URL(`${base.origin}/${path.replace(/^\//, "")}`);
    writeExact(host.stdout, `${await fetchBody(url, { method, body, stop: host.signals.stop })}\n`);
    return 0;
  },
});

const LOOK_LIMIT_MS = 5_000;

/** Where to ask. Throws USAGE for a port that is not allowed, and rejects as `callAgent` does. */
async function baseUrl(flags: Input<typeof FLAGS>["flags"], host: Host): Promise<URL> {
  const port = flags["debug-port"];
  if (flags["run-folder"]) return agentsUrl(port, placeOf(flags), host);
  await checkPort(port, host.env);
  return new URL(`http://localhost:${port}/`);
}

/** Whatever port it really has. */
async function agentsUrl(port: number, place: AgentPlace, host: Host): Promise<URL> {
  const { agentUrl, callAgent } = await import("./call-agent.ts");
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
  const { exchange } = await import("./http-exchange.ts");
  const answer = await exchange(what).catch((error: unknown) => {
    throw new AgentError("REQUEST_FAILED", `Cannot ${method} "${url}": ${describeError(error)}`, { cause: error });
  });
  if (answer.status < 400 || answer.status === 404) return answer.body;
  throw new AgentError("REQUEST_FAILED", `received unsuccessful status code ${answer.status}: ${answer.body}`);
}

async function checkPort(port: number, env: Host["env"]): Promise<void> {
  if (ALLOWED_PORTS.includes(port)) return;
  const { configuredPorts } = await import("./configured-ports.ts"); // reads YAML, which the usual ports do not need
  if (Object.values(configuredPorts(env)).includes(port)) return; // Istio's own list would make the drain hook of such a pod fail
  throw new AgentError("USAGE", `debug port ${port} is not in allowed list [${ALLOWED_PORTS.join(" ")}]`, {
    hint: "Ports that PROXY_CONFIG (proxyAdminPort, statusPort) or ENVOY_STATUS_PORT name are allowed as well",
  });
}
