import { AgentError, describeError, type HttpOptions, httpRequest } from "../base/index.ts";

/** Envoy's admin API. Every call ends after its limit. */
export interface AdminClient {
  /** The body of a 200; rejects with ENVOY_ADMIN_UNREACHABLE, also when `stop` aborts. */
  get(path: string, timeoutMs: number, stop?: AbortSignal): Promise<string>;
  post(path: string, timeoutMs: number, stop?: AbortSignal): Promise<string>;
}

/** The path is sent as it is written: Envoy takes its filters unescaped. */
export function createAdminClient(host: string, port: number): AdminClient {
  const call = async (method: "GET" | "POST", path: string, options: HttpOptions): Promise<string> => {
    try {
      const { status, body } = await httpRequest({ host, port, path }, { ...options, method });
      if (status !== 200) throw new Error(`unexpected status ${status}`);
      return body.toString("utf8");
    } catch (error) {
      const text = `Cannot call Envoy's admin: ${method} http://${host}:${port}${path}: ${describeError(error)}`;
      throw new AgentError("ENVOY_ADMIN_UNREACHABLE", text, { cause: error });
    }
  };
  return {
    get: (path, timeoutMs, signal) => call("GET", path, { timeoutMs, signal }),
    post: (path, timeoutMs, signal) => call("POST", path, { timeoutMs, signal }),
  };
}
