import { expect, test } from "vitest";
import { readTopology, type Topology } from "../../src/page/model/read-topology.ts";
import { readTraffic } from "../../src/page/model/read-traffic.ts";
import { chooseScenes, type Scene } from "../../src/page/picture/choose.ts";
import { drawScene } from "../../src/page/picture/draw.ts";
import { type Box, layOut } from "../../src/page/picture/layout.ts";
import { drawNarrow } from "../../src/page/picture/narrow.ts";
import { clusterStatus, dumpOf } from "./dump.ts";

const names = (count: number): string[] => Array.from({ length: count }, (_, at) => `c${at}`);
const busy = (all: readonly string[]) =>
  readTraffic({ cluster_statuses: all.map((name) => clusterStatus(name, [1, 0], [1])) }, {});
const show = ({ clusters }: Scene): string[] => clusters.map(({ name }) => name);

test("few clusters are all in the picture, and those of the bootstrap in one of their own", () => {
  const scenes = chooseScenes(readTopology(dumpOf(names(3))), new Map());
  expect(show(scenes.main)).toEqual(["c0", "c1", "c2", "database", "warms"]);
  expect(scenes.main.listeners.map(({ name }) => name)).toEqual(["web", "tcp"]);
  expect([show(scenes.quiet), show(scenes.own)]).toEqual([[], ["own"]]);
});

test("of many clusters those with requests come first, quiet ones fill up, and the rest is folded away", () => {
  const topology = readTopology(dumpOf(names(60)));
  const scenes = chooseScenes(topology, busy(["c7", "c59"]));
  expect(show(scenes.main)).toHaveLength(12);
  expect(show(scenes.main)).toEqual(expect.arrayContaining(["c7", "c59"]));
  expect(scenes.main.clusters.length + scenes.quiet.clusters.length).toBe(62);
  const many = chooseScenes(readTopology(dumpOf(names(1_000))), busy(names(1_000)));
  expect([many.main.clusters.length, many.quiet.clusters.length, many.notDrawn]).toEqual([40, 200, 762]);
});

test("an Envoy with nothing but a bootstrap is shown as it is", () => {
  const { listeners, routes, clusters } = readTopology(dumpOf([]));
  const own: Topology = {
    listeners: listeners.filter(({ isStatic }) => isStatic),
    routes,
    clusters: new Map([...clusters].filter(([, { isStatic }]) => isStatic)),
  };
  expect(show(chooseScenes(own, new Map()).main)).toEqual(["own"]);
});

test.each([1, 12, 60])("with %i clusters no box lies on another, and each is within the picture", (count) => {
  const scenes = chooseScenes(readTopology(dumpOf(names(count))), busy(names(count)));
  const { listeners, routes, clusters, endpoints, width, height } = layOut(scenes.main, 76);
  const boxes = [listeners, routes, clusters, endpoints].flatMap((column) => [...column.values()]);
  expect(boxes.length).toBeGreaterThan(4);
  for (const [at, one] of boxes.entries()) {
    expect(one.x >= 0 && one.y >= 0 && one.x + one.width <= width && one.y + one.height <= height).toBe(true);
    expect(boxes.slice(at + 1).filter((other) => overlap(one, other))).toEqual([]);
  }
});

test("names are cut to their boxes, and none of them becomes markup", () => {
  const hostile = [`"><script>alert(1)</script>`, "\u202egnp.exe", "]]>--><b>", "汉".repeat(300), "a'onload='x"];
  const topology = readTopology(dumpOf(hostile));
  const traffic = readTraffic({ cluster_statuses: hostile.map((name) => clusterStatus(name, [1, 1], [1, 2])) }, {});
  const numbers = { traffic, stepsOf: () => [] };
  const { main } = chooseScenes(topology, traffic);
  for (const { text } of [
    drawScene(main, numbers, "large", "x"),
    drawScene(main, numbers, "small", "x"),
    drawNarrow(main, numbers),
  ]) {
    expect(text).not.toMatch(/<script|<b>[^<]*<b>|\u202e|'onload/);
    expect(text.match(/<[a-z]+/g)?.filter((tag) => !KNOWN.includes(tag))).toEqual([]);
    expect(text).toContain("&#60;script&#62;");
  }
});

test("a cluster without a history is not said to have no requests and no errors", () => {
  const traffic = busy(["a"]);
  const { main } = chooseScenes(readTopology(dumpOf(["a"])), traffic);
  const numbers = { traffic, stepsOf: (name: string) => (name === "a" ? undefined : []) };
  const cluster = (text: string): string | undefined => text.match(/>a<[\s\S]*?>not kept</)?.[0];
  for (const { text } of [drawScene(main, numbers, "large", "x"), drawNarrow(main, numbers)]) {
    expect(cluster(text)).toBeDefined();
    expect(cluster(text)).not.toMatch(/no errors|0 requests/);
  }
});

/** Each listener has its own route table; each leads to one of the clusters. */
function manyListeners(count: number, clusters: number): Topology {
  const all = Array.from({ length: count }, (_, at) => at);
  const { clusters: known } = readTopology(dumpOf(names(clusters)));
  return {
    clusters: known,
    routes: new Map(
      all.map((at) => [
        `r${at}`,
        { name: `r${at}`, virtualHosts: 1, domains: [`d${at}`], clusters: [`c${at % clusters}`] },
      ]),
    ),
    listeners: all.map((at) => ({
      name: `l${at}`,
      address: `127.0.0.1:${at}`,
      isStatic: false,
      state: "active",
      refusal: at === count - 1 ? "bad" : undefined,
      routes: [`r${at}`],
      clusters: [],
    })),
  };
}

test("however many listeners lead to a cluster, a few are drawn, those in trouble among them, and the others counted", () => {
  const traffic = busy(names(20));
  const { main } = chooseScenes(manyListeners(1_000, 20), traffic);
  expect([main.listeners.length, main.moreListeners, main.routes.length]).toEqual([60, 940, 60]);
  expect(main.listeners.map(({ name }) => name)).toContain("l999");
  expect(new Set(main.routes.flatMap(({ clusters }) => clusters)).size).toBe(20);
  expect(drawScene(main, { traffic, stepsOf: () => [] }, "large", "x").text).toContain(">60 and 940 more<");
});

const KNOWN = [
  "<svg",
  "<text",
  "<tspan",
  "<path",
  "<rect",
  "<title",
  "<g",
  "<ul",
  "<li",
  "<b",
  "<p",
  "<span",
  "<circle",
];

function overlap(a: Box, b: Box): boolean {
  return a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
}
