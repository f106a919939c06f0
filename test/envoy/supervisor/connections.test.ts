import { expect, test } from "vitest";
import { countConnections, countRequests } from "../../../src/envoy/supervisor/connections.ts";

const OWN = [15021, 15009];
const stats = (lines: Readonly<Record<string, number | string>>) =>
  Object.entries(lines)
    .map(([name, value]) => `${name}.downstream_cx_active: ${value}\n`)
    .join("");

test.each<[string, string, number]>([
  ["nothing at all", "", -1],
  [
    "listeners of users, without the agent's own, the admin, workers and in-process ones",
    stats({
      "http.admin": 2,
      "listener.0.0.0.0_15001": 0,
      "listener.0.0.0.0_15006": 0,
      "listener.0.0.0.0_15021": 0,
      "listener.0.0.0.0_8443": 6,
      "listener.0.0.0.0_9093": 8,
      "listener.10.112.32.70_9043": 1,
      "listener.10.112.40.186_2181": 1,
      "listener.10.112.43.239_9043": 2,
      "listener.10.112.49.68_9043": 1,
      "listener.admin": 2,
      "listener.admin.main_thread": 2,
      "listener.envoy_internal_connect_originate": 2,
      "listener.envoy_internal_connect_originate.worker_0": 2,
      "listener.envoy_internal_main_internal": 3,
    }),
    19,
  ],
  ["only the agent's own", stats({ "listener.0.0.0.0_15021": 1, "listener.0.0.0.0_15009": 1, "listener.admin": 1 }), 0],
  ["the agent's own on IPv6", stats({ "listener.[__]_15021": 1, "listener.___15009": 1 }), 0],
  ["only a worker's share", stats({ "listener.0.0.0.0_8443.worker_1": 7 }), 0],
])("%s", (_name, body, expected) => {
  expect(countConnections(body, OWN)).toEqual({ active: expected, odd: [] });
});

test("lines that cannot be understood are told, and count as nothing", () => {
  const { active, odd } = countConnections("garbage\nlistener.0.0.0.0_80.downstream_cx_active: x\n", OWN);
  expect(active).toBe(0);
  expect(odd).toHaveLength(2);
});

test("requests are counted everywhere but at the admin", () => {
  const answer = [
    "cluster.inbound|8080||.upstream_rq_active: 9",
    "http.admin.downstream_rq_active: 1",
    "http.inbound_0.0.0.0_8080;.downstream_rq_active: 2",
    "http.outbound_0.0.0.0_80;.downstream_rq_active: 3",
    "http.inbound_0.0.0.0_8080;.downstream_rq_total: 7",
  ];
  expect(countRequests(answer.join("\n"))).toBe(5);
  expect(countRequests("")).toBe(0);
});
