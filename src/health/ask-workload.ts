import { describeError, oneLine, startLimit } from "../base/index.ts";
import { dial } from "../exchange/index.ts";
import { askExec, type ExecPlace } from "./ask-exec.ts";
import { askGrpc } from "./ask-grpc.ts";
import { askHttp, UnknownError } from "./ask-http.ts";
import { bareHost } from "./bare-host.ts";
import type { WorkloadProbe } from "./workload-probe.ts";

/** `unknown`, which nobody could be asked for, counts as unhealthy. */
export type Answer =
  | { readonly result: "healthy" }
  | { readonly result: "unhealthy" | "unknown"; readonly reason: string };

/** Where the workload is. */
export interface Workload extends ExecPlace {
  /** Where the probe names no host: an address, or `localhost`. */
  readonly defaultHost: string;
  /** Own address of HTTP connections, which the redirection lets pass Envoy; undefined leaves it to the kernel. */
  readonly source: string | undefined;
  /** Why Envoy is not ready, undefined when it is; absent without Envoy. Asked first, and then decides. */
  readonly whyEnvoyNotReady?: () => Promise<string | undefined>;
}

/** Reasons travel to the control plane, which keeps them in an object of the cluster. */
const MOST_REASON = 1_000;

/** One question, first to Envoy, then to the workload. Never rejects, also when `stop` aborts. */
export async function askWorkload(probe: WorkloadProbe, workload: Workload, stop: AbortSignal): Promise<Answer> {
  try {
    const reason = await workload.whyEnvoyNotReady?.();
    if (reason !== undefined) return unhealthy(reason);
    await ask(probe, workload, stop);
    return { result: "healthy" };
  } catch (error) {
    const result = error instanceof UnknownError ? "unknown" : "unhealthy";
    return { ...unhealthy(describeError(error)), result };
  }
}

function unhealthy(reason: string): { result: "unhealthy"; reason: string } {
  return { result: "unhealthy", reason: oneLine(reason, "; ").slice(0, MOST_REASON) };
}

/** Rejects with why it is not healthy. */
async function ask({ method, timeoutMs }: WorkloadProbe, workload: Workload, stop: AbortSignal): Promise<void> {
  if (method.kind === "exec") return askExec(method.command, { ...workload, timeoutMs }, stop);
  using limit = startLimit(stop, timeoutMs, () => new Error(`no answer within ${timeoutMs / 1_000} s`));
  const host = bareHost(("host" in method && method.host) || workload.defaultHost);
  if (method.kind === "http") return await askHttp(method, { host, source: workload.source }, limit.signal);
  if (method.kind === "grpc") return await askGrpc(method, { host, timeoutMs }, limit.signal);
  (await dial({ host, address: host, source: undefined }, method.port, limit.signal)).destroy();
}
