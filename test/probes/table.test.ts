import { expect, test } from "vitest";
import { AgentError } from "../../src/base/index.ts";
import { parseProbers } from "../../src/probes/table/index.ts";

test("the injector's table, in every spelling that Go takes", () => {
  const table = {
    "/app-health/web/readyz": {
      httpGet: {
        path: "ok?full=1",
        port: 8080,
        scheme: "HTTPS",
        host: "ignored",
        httpHeaders: [{ name: "X-A", value: "b" }],
      },
      timeoutSeconds: 1,
      periodSeconds: 3,
    },
    "/app-health/plain/livez": { HTTPGET: { scheme: "https" } },
    "/app-health/db/livez": { tcpSocket: { port: 5432, host: "h" }, TimeoutSeconds: 2 },
    "/app-health/api/startupz": { gRPC: { port: 9000, service: null }, httpGet: null },
    "/app-lifecycle/web/prestopz": { httpGet: { path: "/bye", port: 8080 } },
  };
  expect(Object.fromEntries(parseProbers(JSON.stringify(table)))).toEqual({
    "/app-health/web/readyz": { kind: "http", port: 8080, path: "/ok?full=1", isSecure: true, timeoutMs: 1_000 },
    "/app-health/plain/livez": { kind: "http", port: 0, path: "/", isSecure: false, timeoutMs: 0 },
    "/app-health/db/livez": { kind: "tcp", port: 5432, timeoutMs: 2_000 },
    "/app-health/api/startupz": { kind: "grpc", port: 9000, service: "", timeoutMs: 0 },
    "/app-lifecycle/web/prestopz": { kind: "http", port: 8080, path: "/bye", isSecure: false, timeoutMs: 0 },
  });
  expect(parseProbers("").size).toBe(0);
  expect(parseProbers("{}").size).toBe(0);
});

const READY = "/app-health/web/readyz";

test.each([
  ["invalid-prober-json-encoding", "failed to decode"],
  ["[]", "failed to decode"],
  ['{"abc": {"path": "/app-foo/health"}}', 'abc": invalid path'],
  ['{"/app-health/a/b/livez": {"tcpSocket": {"port": 1}}}', "invalid path"],
  [
    JSON.stringify({ [READY]: { exec: { command: ["true"] } } }),
    "invalid prober type, must be one of type httpGet, tcpSocket or gRPC",
  ],
  [JSON.stringify({ [READY]: null }), "invalid prober type"],
  [JSON.stringify({ [READY]: {} }), "invalid prober type"],
  [
    JSON.stringify({ [READY]: { tcpSocket: { port: 1 }, httpGet: { port: 1 } } }),
    "must be one of type httpGet, tcpSocket or gRPC",
  ],
  [
    JSON.stringify({ [READY]: { grpc: { port: 1 }, httpGet: { port: 1 } } }),
    "must be one of type httpGet, tcpSocket or gRPC",
  ],
  [JSON.stringify({ [READY]: { httpGet: { port: "tcp" } } }), 'port "tcp" must be int type'],
  [JSON.stringify({ [READY]: { tcpSocket: { port: "8080" } } }), "must be int type"],
  [JSON.stringify({ [READY]: { tcpSocket: { port: 1.5 } } }), "failed to decode"],
  [JSON.stringify({ [READY]: { httpGet: { port: 1 }, timeoutSeconds: "1" } }), "failed to decode: timeoutSeconds"],
  [JSON.stringify({ [READY]: { grpc: { port: 1, service: 3 } } }), "failed to decode: service"],
  [JSON.stringify({ [READY]: { httpGet: [] } }), "failed to decode"],
])("%s is refused", (text, reason) => {
  const read = () => parseProbers(text);
  expect(read).toThrow(AgentError);
  expect(read).toThrow(reason);
  expect(read).toThrow("ISTIO_KUBE_APP_PROBERS");
});

test("all problems are named at once", () => {
  const read = () => parseProbers(JSON.stringify({ "/x": {}, [READY]: {} }));
  expect(read).toThrow(/"\/x": invalid path.*\n.*"\/app-health\/web\/readyz": invalid prober type/);
});
