import { type RequestOptions, request } from "node:http";
import { AgentError, describeError, readBody, responseTo } from "../base/index.ts";

/** Envoy's admin API. Every call ends after its limit. */
export interface AdminClient {
  /** The body of a 200; rejects with ENVOY_ADMIN_UNREACHABLE, also when `stop` aborts. */
  get(path: string, timeoutMs: number, stop?: AbortSignal): Promise<string>;
  post(path: string, timeoutMs: number, stop?: AbortSignal): Promise<string>;
}

/** The path is sent as it is written: Envoy takes its filters unescaped. */
export function createAdminClient(host: string, port: number): AdminClient {
  const call = (method: "GET" | "POST", path: string, timeoutMs: number, stop?: AbortSignal): Promise<string> =>
    send({ host, port, method, path, agent: false, ...(stop && { signal: stop }) }, timeoutMs);
  return {
    get: (path, timeoutMs, stop) => call("GET", path, timeoutMs, stop),
    post: (path, timeoutMs, stop) => call("POST", path, timeoutMs, stop),
  };
}

async function send(options: RequestOptions, timeoutMs: number): Promise<string> {
  const shown = `${options.method} http://${options.host}:${options.port}${options.path}`;
  const call = request(options);
  let isLate = false;
  const limit = setTimeout(() => {
    isLate = true;
    call.destroy(new Error("too late"));
  }, timeoutMs);
  try {
    const response = await responseTo(call);
    const body = await readBody(response).catch((error: unknown) => {
      throw new Error(`the answer broke off: ${describeError(error)}`, { cause: error });
    });
    if (response.statusCode !== 200) throw new Error(`unexpected status ${response.statusCode}`);
    return body.toString("utf8");
  } catch (error) {
    const what = isLate ? `no answer within ${timeoutMs} ms` : describeError(error);
    throw new AgentError("ENVOY_ADMIN_UNREACHABLE", `Cannot call Envoy's admin: ${shown}: ${what}`, { cause: error });
  } finally {
    clearTimeout(limit);
  }
}
