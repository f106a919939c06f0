import { describeError, joinHostPort, pause } from "../base/index.ts";
import { checkHealth, dial, type HealthAnswer } from "../exchange/index.ts";
import { Code, codeName } from "../grpc/index.ts";
import type { ProbeMethod } from "./workload-probe.ts";

type GrpcMethod = Extract<ProbeMethod, { kind: "grpc" }>;

/** A server that starts may take its port at any moment; until the limit it is tried again. */
const AGAIN_MS = 200;

/**
 * Asks for `SERVING`, without TLS. Rejects with why the workload is not healthy, in the reference's words. `signal`
 * aborts after `timeoutMs`. Source: istio/istio pkg/istio-agent/health/health_probers.go.
 */
export async function askGrpc(
  { port, service }: GrpcMethod,
  { host, timeoutMs }: { readonly host: string; readonly timeoutMs: number },
  signal: AbortSignal,
): Promise<void> {
  const question = { service, authority: joinHostPort(host, port), userAgent: "istio-probe/1.0 pilotboat" };
  let last: unknown;
  while (!signal.aborted) {
    let isConnected = false;
    const onConnected = (): void => {
      isConnected = true;
    };
    try {
      const socket = await dial({ host, address: host, source: undefined }, port, signal);
      return judge(await checkHealth(socket, { ...question, onConnected }, signal), port);
    } catch (error) {
      if (error instanceof Unhealthy) throw error;
      if (isConnected && signal.aborted) {
        throw new Error(`health rpc probe timed out after ${timeoutMs / 1_000}s: ${rpcError(LATE)}`);
      }
      if (isConnected) {
        const message = describeError(error);
        throw new Error(
          `health rpc probe failed with status Unavailable: ${rpcError({ code: Code.UNAVAILABLE, message })}`,
        );
      }
      if (!signal.aborted) last = error;
      await pause(AGAIN_MS, signal);
    }
  }
  const why = last === undefined ? "" : `; last: ${describeError(last)}`;
  throw new Error(`failed to connect health check grpc service on port ${port}: ${LATE.message}${why}`);
}

const LATE = { code: Code.DEADLINE_EXCEEDED, message: "context deadline exceeded" };

class Unhealthy extends Error {}

function judge({ code = Code.UNKNOWN, message = "the answer has no status", state }: HealthAnswer, port: number): void {
  if (code === Code.OK && state === "SERVING") return;
  if (code === Code.OK) throw new Unhealthy(`service status ${state}`);
  const error = rpcError({ code, message });
  if (code === Code.UNIMPLEMENTED) {
    throw new Unhealthy(
      `service on port ${port} doesn't implement the grpc health protocol grpc.health.v1.Health: ${error}`,
    );
  }
  throw new Unhealthy(`health rpc probe failed with status ${goName(code)}: ${error}`);
}

function rpcError({ code, message }: { readonly code: number; readonly message: string }): string {
  return `rpc error: code = ${goName(code)} desc = ${message}`;
}

/** `NotFound` for `NOT_FOUND`, as grpc-go prints it. */
function goName(code: number): string {
  if (code === Code.CANCELLED) return "Canceled";
  const name = codeName(code);
  if (/^\d+$/.test(name)) return `Code(${name})`;
  return name.toLowerCase().replaceAll(/(^|_)([a-z])/g, (_, __, letter: string) => letter.toUpperCase());
}
