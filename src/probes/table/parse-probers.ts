import { AgentError, describeError } from "../../base/index.ts";

/** What is asked of the application. */
export type AppProbe = {
  readonly port: number;
  /** 0 when the probe names none. */
  readonly timeoutMs: number;
} & (
  | { readonly kind: "http"; readonly path: string; readonly isSecure: boolean }
  | { readonly kind: "tcp" }
  | { readonly kind: "grpc"; readonly service: string }
);

const PATH = /^\/(app-health|app-lifecycle)\/[^/]+\/(livez|readyz|startupz|prestopz|poststartz)$/;
const VARIABLE = "ISTIO_KUBE_APP_PROBERS";

/**
 * Reads `ISTIO_KUBE_APP_PROBERS`: JSON by path of the status port, each value a probe in Kubernetes' form. Empty is none.
 * Field names count in any case, as in Go. Throws CONFIG_INVALID with every problem. Source: istio/istio
 * pilot/cmd/pilot-agent/status/server.go (`validateAppKubeProber`).
 */
export function parseProbers(text: string): ReadonlyMap<string, AppProbe> {
  if (text === "") return new Map();
  const probes = new Map<string, AppProbe>();
  const problems: string[] = [];
  for (const [path, value] of Object.entries(decode(text))) {
    try {
      probes.set(path, readProbe(path, value));
    } catch (error) {
      problems.push(`${VARIABLE}: "${path}": ${describeError(error)}`);
    }
  }
  if (problems.length > 0) throw new AgentError("CONFIG_INVALID", problems.join("\n"));
  return probes;
}

type Fields = Readonly<Record<string, unknown>>;

function decode(text: string): Fields {
  try {
    return fieldsOf(JSON.parse(text), "an object of probes by path");
  } catch (error) {
    throw new AgentError("CONFIG_INVALID", `${VARIABLE}: failed to decode: ${describeError(error)}`, {
      hint: 'It looks like {"/app-health/web/readyz": {"httpGet": {"port": 8080, "path": "/ok"}, "timeoutSeconds": 1}}',
    });
  }
}

function readProbe(path: string, value: unknown): AppProbe {
  if (!PATH.test(path)) throw new Error(`invalid path, wanted ${PATH.source.replaceAll("\\/", "/")}`);
  if (value === null) throw new Error(INVALID_TYPE);
  const fields = lowerCase(fieldsOf(value, "an object"));
  const kinds = ["httpget", "tcpsocket", "grpc"].filter((kind) => (fields[kind] ?? null) !== null);
  const [kind] = kinds;
  if (kind === undefined || kinds.length > 1) throw new Error(INVALID_TYPE);
  const action = lowerCase(fieldsOf(fields[kind], `an object as ${kind}`));
  const timeoutMs = Math.max(0, integerOf(fields.timeoutseconds, "timeoutSeconds")) * 1_000;
  if (typeof action.port === "string") throw new Error(`port "${action.port}" must be int type`);
  const common = { port: integerOf(action.port, "port"), timeoutMs };
  if (kind === "tcpsocket") return { kind: "tcp", ...common };
  if (kind === "grpc") return { kind: "grpc", ...common, service: textOf(action.service, "service") };
  const target = textOf(action.path, "path");
  return {
    ...{ kind: "http", ...common, isSecure: textOf(action.scheme, "scheme") === "HTTPS" },
    path: target.startsWith("/") ? target : `/${target}`,
  };
}

const INVALID_TYPE = "invalid prober type, must be one of type httpGet, tcpSocket or gRPC";

function fieldsOf(value: unknown, wanted: string): Fields {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Fields;
  throw new Error(`failed to decode: found ${show(value)}, wanted ${wanted}`);
}

function lowerCase(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name.toLowerCase(), value]));
}

/** Absent and null are 0. */
function integerOf(value: unknown, name: string): number {
  if (value === undefined || value === null) return 0;
  if (typeof value === "number" && Number.isInteger(value) && Math.abs(value) < 2 ** 31) return value;
  throw new Error(`failed to decode: ${name}: found ${show(value)}, wanted an integer of 32 bits`);
}

/** Absent and null are empty. */
function textOf(value: unknown, name: string): string {
  if (value === undefined || value === null) return "";
  if (typeof value === "string") return value;
  throw new Error(`failed to decode: ${name}: found ${show(value)}, wanted a string`);
}

const MOST_SHOWN = 60;

function show(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN)}…` : text;
}
