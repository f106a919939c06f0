import { expect, test } from "vitest";
import { HISTORY_STEPS, History, perSecond, quantile, total } from "../../src/page/model/history.ts";
import { readTopology } from "../../src/page/model/read-topology.ts";
import { readServerFigures, readTraffic } from "../../src/page/model/read-traffic.ts";
import { clusterStatus, dumpOf, latencyStats } from "./dump.ts";

test("a dump of Envoy's configuration says what leads where, what is refused, and what is the bootstrap's", () => {
  const { listeners, routes, clusters } = readTopology(dumpOf(["a", "b"]));
  expect(listeners).toMatchObject([
    { name: "127.0.0.1:15090", isStatic: true, routes: ["inline (127.0.0.1:15090)"] },
    {
      name: "web",
      address: "127.0.0.1:80",
      state: "active",
      refusal: "malformed <IP> address",
      routes: ["80"],
      clusters: [],
    },
    { name: "tcp", refusal: undefined, routes: [], clusters: ["database"] },
  ]);
  expect(routes.get("80")).toMatchObject({ virtualHosts: 2, domains: ["a.shop", "b.shop"], clusters: ["a", "b"] });
  expect([...clusters.values()].map(({ name, isStatic, state }) => `${name} ${isStatic} ${state}`)).toEqual([
    "own true active",
    "warms false warming",
    "a false active",
    "b false active",
    "database false active",
  ]);
});

test("what Envoy says of a refusal is shown without the secrets that it quotes", () => {
  const details = 'invalid value "Bearer abcdef0123456789" in header';
  const of = (kind: string, members: object) => ({
    "@type": `type.googleapis.com/envoy.admin.v3.${kind}ConfigDump`,
    ...members,
  });
  const { listeners, clusters } = readTopology({
    configs: [
      of("Listeners", {
        dynamic_listeners: [{ name: "web", warming_state: { listener: {} }, error_state: { details } }],
      }),
      of("Clusters", { dynamic_warming_clusters: [{ cluster: { name: "a" }, error_state: { details } }] }),
    ],
  });
  for (const refusal of [listeners[0]?.refusal, clusters.get("a")?.refusal]) {
    expect(refusal).toMatch(/^invalid value .*in header$/);
    expect(refusal).not.toContain("abcdef0123456789");
  }
});

test.each([undefined, null, 7, "text", [], {}, { configs: 7 }, { configs: [null, { "@type": 7 }] }])(
  "what is no dump has nothing in it: %j",
  (dump) => {
    expect(readTopology(dump)).toMatchObject({ listeners: [] });
    expect([...readTraffic(dump, dump).keys()]).toEqual([]);
  },
);

test("traffic is the sum over endpoints, with the latencies of the name that Envoy makes of the cluster's", () => {
  const name = "outbound|80||a.shop:x";
  const traffic = readTraffic(
    { cluster_statuses: [clusterStatus(name, [5, 2], [1, 2])] },
    latencyStats(name, [[3, 4]]),
  );
  expect(traffic.get(name)).toEqual({
    requests: 7,
    errors: 2,
    connections: 0,
    latencies: new Map([[3.5, 4]]),
    endpoints: [
      { address: "[::1]:1", trouble: undefined },
      { address: "[::1]:2", trouble: "outlier" },
    ],
  });
  expect(readServerFigures(latencyStats(name, []))).toMatchObject({ uptimeSeconds: 7 });
});

test("what happened is the difference between two samples, and a counter that went back is no traffic", () => {
  const history = new History();
  const at = (seconds: number, counts: readonly [number, number], bins: readonly (readonly [number, number])[]): void =>
    history.add(
      seconds * 1_000,
      readTraffic({ cluster_statuses: [clusterStatus("a", counts, [1])] }, latencyStats("a", bins)),
    );
  at(0, [100, 10], [[1, 100]]);
  expect(history.of("a")).toEqual([]);
  at(
    2,
    [110, 14],
    [
      [1, 105],
      [50, 5],
    ],
  );
  const steps = history.of("a") ?? [];
  expect([perSecond(steps, "requests"), total(steps, "errors")]).toEqual([7, 4]);
  expect([quantile(steps, 0.5), quantile(steps, 0.95)]).toEqual([1.5, 50.5]);
  at(4, [1, 0], [[1, 1]]); // a new Envoy
  expect(history.of("a")?.at(-1)).toMatchObject({ requests: 0, errors: 0 });
  expect(history.of("a")?.at(-1)?.latencies.size).toBe(0);
  for (let n = 3; n < 3 * HISTORY_STEPS; n++) at(n * 2, [n, 0], []);
  expect(history.of("a")).toHaveLength(HISTORY_STEPS);
  history.add(10_000_000, new Map());
  expect(history.of("a")).toEqual([]);
});

const statuses = (names: readonly string[], countOf: (name: string) => number) =>
  readTraffic({ cluster_statuses: names.map((name) => clusterStatus(name, [countOf(name), countOf(name)], [1])) }, {});
const manyNames = Array.from({ length: 2_000 }, (_, at) => `c${at}`);

test("of many clusters those with traffic have a history, wherever Envoy lists them", () => {
  const history = new History();
  for (const at of [0, 1, 2])
    history.add(
      at * 2_000,
      statuses(manyNames, (name) => (name === "c1999" ? at : 7)),
    );
  expect(history.of("c1999")).toMatchObject([{ errors: 1 }, { errors: 1 }]);
  expect(history.of("c0")).toMatchObject([{ errors: 0 }, { errors: 0 }]);
});

test("however many clusters have traffic, only so many have a history, and the others have none instead of an empty one", () => {
  const history = new History();
  for (const at of [0, 1])
    history.add(
      at * 2_000,
      statuses(manyNames, () => at),
    );
  expect(manyNames.filter((name) => history.of(name) !== undefined)).toHaveLength(500);
  const silent = statuses(manyNames, () => 1);
  for (let at = 2; at < HISTORY_STEPS + 2; at++) history.add(at * 2_000, silent);
  history.add(
    1_000_000,
    statuses(manyNames, (name) => (name === "c1999" ? 2 : 1)),
  );
  expect(history.of("c1999")).toMatchObject([{ errors: 1 }]); // those that fell silent made room
});
