import { joinHostPort, LONGEST_TIMER_MS } from "../base/index.ts";
import type { ReadinessProbe } from "../istio/mesh/index.ts";

/** What is asked of the workload, how often, and how many answers in a row count. */
export interface WorkloadProbe {
  readonly method: ProbeMethod;
  /** From the start to the first question. */
  readonly initialDelayMs: number;
  readonly periodMs: number;
  /** For one question. Envoy's own readiness is not bound by it. */
  readonly timeoutMs: number;
  readonly successThreshold: number;
  readonly failureThreshold: number;
}

/** An empty host stands for that of the proxy. */
export type ProbeMethod =
  | {
      readonly kind: "http";
      readonly isSecure: boolean;
      readonly host: string;
      readonly port: number;
      /** May have a query. */
      readonly path: string;
      readonly headers: readonly { readonly name: string; readonly value: string }[];
    }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "exec"; readonly command: readonly string[] }
  /** An empty service stands for the whole server. */
  | { readonly kind: "grpc"; readonly port: number; readonly service: string };

/**
 * A usable `readinessProbe` (`probeTrouble`) with the defaults of what it leaves out. Source: istio/istio
 * pkg/istio-agent/health/health_check.go (`fillInDefaults`).
 */
export function readProbe(probe: ReadinessProbe): WorkloadProbe {
  return {
    method: methodOf(probe),
    initialDelayMs: Math.max(0, probe.initialDelaySeconds) * 1_000,
    periodMs: (probe.periodSeconds || 10) * 1_000,
    timeoutMs: Math.min((probe.timeoutSeconds || 1) * 1_000, LONGEST_TIMER_MS),
    successThreshold: probe.successThreshold || 1,
    failureThreshold: probe.failureThreshold || 1,
  };
}

function methodOf({ httpGet, tcpSocket, exec, grpc }: ReadinessProbe): ProbeMethod {
  if (httpGet !== undefined) {
    const { host, port, path, scheme, httpHeaders } = httpGet;
    return {
      ...{ kind: "http", host, port, path: path || "/", headers: httpHeaders },
      isSecure: scheme.toLowerCase() === "https",
    };
  }
  if (tcpSocket !== undefined) return { kind: "tcp", host: tcpSocket.host, port: tcpSocket.port };
  if (exec !== undefined) return { kind: "exec", command: exec.command };
  return { kind: "grpc", port: grpc?.port ?? 0, service: grpc?.service ?? "" };
}

/** For people: `GET http://10.0.0.1:8080/ready`. Without queries and arguments, which may be secrets. */
export function describeMethod(method: ProbeMethod, defaultHost: string): string {
  const at = (host: string, port: number): string => joinHostPort(host || defaultHost, port);
  if (method.kind === "http") {
    const { isSecure, host, port, path } = method;
    return `GET ${isSecure ? "https" : "http"}://${at(host, port)}${path.split("?")[0]}`;
  }
  if (method.kind === "tcp") return `connect ${at(method.host, method.port)}`;
  if (method.kind === "exec") return `run ${method.command[0]}`;
  return `gRPC health of ${method.service === "" ? "" : `"${method.service}" at `}${at("", method.port)}`;
}
