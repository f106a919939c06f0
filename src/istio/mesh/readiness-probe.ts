import type { ProxyConfig } from "./proxy-config.ts";

export type ReadinessProbe = NonNullable<ProxyConfig["readinessProbe"]>;

/**
 * Why nobody can be asked with this probe; undefined when it can be used. The reference crashes at each of them.
 * Source: istio/istio pkg/istio-agent/health/health_check.go.
 */
export function probeTrouble(probe: ReadinessProbe): string | undefined {
  const { httpGet, tcpSocket, exec, grpc } = probe;
  if ((httpGet ?? tcpSocket ?? exec ?? grpc) === undefined) {
    return "it names no method, wanted one of httpGet, tcpSocket, exec and grpc";
  }
  if (exec !== undefined && (exec.command[0] ?? "") === "") return "exec.command is empty, wanted a program";
  const port = (httpGet ?? tcpSocket ?? grpc)?.port ?? 1;
  if (port < 1 || port > 65_535) return `port is ${port}, wanted 1 to 65535`;
  const scheme = httpGet?.scheme.toLowerCase() ?? "";
  if (!["", "http", "https"].includes(scheme)) return `httpGet.scheme is "${scheme}", wanted HTTP or HTTPS`;
  const negative = POSITIVE.find((field) => probe[field] < 0);
  return negative && `${negative} is ${probe[negative]}, wanted a positive number`;
}

/** 0 stands for the default of each. */
const POSITIVE = ["timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] as const;
