import { type RequestOptions, request } from "node:http";
import { AgentError, describeError, readBody } from "../base/index.ts";

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

function send(options: RequestOptions, timeoutMs: number): Promise<string> {
  const shown = `${options.method} http://${options.host}:${options.port}${options.path}`;
  const refuse = (what: string, cause?: unknown): AgentError =>
    new AgentError("ENVOY_ADMIN_UNREACHABLE", `Cannot call Envoy's admin: ${shown}: ${what}`, { cause });
  return new Promise((resolve, reject) => {
    const call = request(options, (response) => {
      readBody(response)
        .then((body) => {
          if (response.statusCode === 200) resolve(body.toString("utf8"));
          else reject(refuse(`unexpected status ${response.statusCode}`));
        })
        .catch((error: unknown) => reject(refuse(`the answer broke off: ${describeError(error)}`, error)))
        .finally(() => clearTimeout(limit));
    });
    const limit = setTimeout(() => {
      reject(refuse(`no answer within ${timeoutMs} ms`));
      call.destroy();
    }, timeoutMs);
    call.once("error", (error) => {
      clearTimeout(limit);
      reject(refuse(error.message, error));
    });
    call.end();
  });
}
