import { parse } from "yaml";
import { AgentError, describeError, type Host } from "../base/index.ts";
import { exchange } from "./http-exchange.ts";
import { parseStrictFlags } from "./strict-flags.ts";

const HELP = `Usage: pilotboat request <method> <path> [<body>] [--debug-port PORT]

Sends a request to this machine's Envoy (admin, 15000) or agent (status, 15020) and prints the answer.

Flags:
  --debug-port PORT  15000, 15004, 15020, 15021, or a port that PROXY_CONFIG or ENVOY_STATUS_PORT names (default 15000)

Examples:
  pilotboat request GET stats
  pilotboat request POST 'logging?level=debug'
  pilotboat request --debug-port 15020 POST drain
`;

/** Source: istio/istio pilot/cmd/pilot-agent/app/request.go. */
const ALLOWED_PORTS = [15000, 15004, 15020, 15021];
const FLAGS = [{ name: "debug-port", type: "int", default: 15000, help: "" }] as const;
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
  const port = flags["debug-port"];
  checkPort(port, host.env);
  const url = new URL(`http://localhost:${port}/${path.replace(/^\//, "")}`);
  host.stdout.write(`${await fetchBody(url, { method, body, stop: host.signals.stop })}\n`);
  return 0;
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
