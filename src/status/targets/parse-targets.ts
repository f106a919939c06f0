import { AgentError, describeError } from "../../base/index.ts";

/** Where an application has its metrics, on this machine. */
export interface ScrapeTarget {
  readonly port: number;
  /** With its query, as it is written. */
  readonly path: string;
}

const VARIABLE = "ISTIO_PROMETHEUS_ANNOTATIONS";

/** Ports of the proxy itself. Source: istio/istio pilot/cmd/pilot-agent/status/server.go. */
const RESERVED: Readonly<Record<number, string>> = {
  15000: "Envoy admin",
  15001: "outbound traffic capture",
  15004: "pilot debug",
  15006: "inbound traffic capture",
  15008: "HBONE tunnel",
  15020: "pilot-agent status / merged Prometheus",
  15021: "Envoy health",
  15053: "DNS proxy",
  15090: "Envoy Prometheus (already merged)",
};

/**
 * Reads `ISTIO_PROMETHEUS_ANNOTATIONS`; empty text, and `scrape` of "false", is no target. Throws CONFIG_INVALID with
 * every problem: a target that is the agent itself would be a scrape without an end.
 */
export function parseScrapeTargets(text: string, statusPort: number): readonly ScrapeTarget[] {
  if (text === "") return [];
  const { scrape, path = "/metrics", port = "80", targets = [] } = decode(text);
  if (scrape === "false") return [];
  const listed = targets.length === 0 ? [{ port: port || "80", path: path || "/metrics" }] : targets;
  const problems: string[] = [];
  const found = listed.map((target) => {
    const number = /^\d+$/.test(target.port ?? "") ? Number(target.port) : 0;
    const problem = problemOf(target.port ?? "", number, statusPort);
    if (problem !== undefined) problems.push(`${VARIABLE}: invalid prometheus scrape configuration: ${problem}`);
    return { port: number, path: target.path || "/metrics" };
  });
  if (problems.length > 0) throw new AgentError("CONFIG_INVALID", problems.join("\n"), { hint: HINT });
  return found.map(({ port: number, path: at }) => ({ port: number, path: at.startsWith("/") ? at : `/${at}` }));
}

const HINT = "Was the sidecar injected twice, or is prometheus.io/port a port of the proxy?";

function problemOf(text: string, port: number, statusPort: number): string | undefined {
  if (port < 1 || port > 65_535) return `invalid target port "${text}", wanted 1 to 65535`;
  if (port === statusPort) return `port ${text} is the agent's own: the scrape would be a recursive loop`;
  const use = RESERVED[port];
  return use === undefined ? undefined : `port ${text} is reserved: ${use}`;
}

interface Target {
  readonly port?: string;
  readonly path?: string;
}

interface Annotations extends Target {
  readonly scrape?: string;
  readonly targets?: readonly Target[];
}

function decode(text: string): Annotations {
  try {
    const { targets, ...top } = fieldsOf(JSON.parse(text));
    const { scrape, ...target } = stringsOf(top, ["scrape", "port", "path"]);
    if (targets !== undefined && targets !== null && !Array.isArray(targets)) throw new Error("targets: wanted a list");
    const list = (targets ?? []) as readonly unknown[];
    return {
      ...(scrape === undefined ? {} : { scrape }),
      ...target,
      targets: list.map((one) => stringsOf(fieldsOf(one), ["port", "path"])),
    };
  } catch (error) {
    throw new AgentError("CONFIG_INVALID", `${VARIABLE}: failed to decode: ${describeError(error)}`, {
      hint: 'It looks like {"scrape": "true", "path": "/metrics", "port": "8080"}; all values are strings',
    });
  }
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new Error(`found ${JSON.stringify(value)}, wanted an object`);
}

/** Of other fields nothing is known, and nothing asked. */
function stringsOf(fields: Readonly<Record<string, unknown>>, names: readonly string[]): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of names) {
    const value = fields[name];
    if (typeof value === "string") found[name] = value;
    else if (value !== undefined && value !== null)
      throw new Error(`${name}: found ${JSON.stringify(value)}, wanted a string`);
  }
  return found;
}
