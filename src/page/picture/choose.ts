import type { Cluster, Listener, RouteTable, Topology } from "../model/read-topology.ts";
import type { Traffic } from "../model/read-traffic.ts";
import { troubleOfListener } from "./figures.ts";

/** A part of a topology that is drawn as one picture. */
export interface Scene {
  readonly listeners: readonly Listener[];
  readonly routes: readonly RouteTable[];
  readonly clusters: readonly Cluster[];
  /** That lead to these clusters, too, and have no place. */
  readonly moreListeners: number;
  readonly moreRoutes: number;
  readonly areWaysUnknown: boolean;
}

/** The whole in pictures that people can read. */
export interface Scenes {
  /** Where requests go; without any, the first of all. */
  readonly main: Scene;
  /** The others: most of them have had no requests. */
  readonly quiet: Scene;
  /** What Envoy has from its bootstrap. */
  readonly own: Scene;
  /** Clusters that are in none of them. */
  readonly notDrawn: number;
}

/** As many as fit on a screen; quiet ones fill up to this number. */
const FEW = 12;
const MOST_BUSY = 40;
const MOST_QUIET = 200;
/** Listeners, and routes, of one picture. */
const MOST_WAYS = 60;

export function chooseScenes(topology: Topology, traffic: Traffic): Scenes {
  const all = inOrder(topology);
  const dynamic = all.filter(({ isStatic }) => !isStatic);
  const isPlain = dynamic.length === 0 && topology.listeners.every(({ isStatic }) => isStatic); // a bootstrap of the user's own
  const shown = isPlain ? all : dynamic;
  const isBusy = ({ name }: Cluster): boolean => {
    const counters = traffic.get(name);
    return counters !== undefined && counters.requests + counters.connections > 0;
  };
  const busy = shown.length <= FEW ? shown : busiest(shown.filter(isBusy), traffic);
  const rest = shown.filter((cluster) => !busy.includes(cluster));
  const room = Math.max(0, FEW - busy.length);
  const main = new Set([...busy, ...rest.slice(0, room)]);
  const quiet = rest.slice(room);
  const own = isPlain ? [] : all.filter(({ isStatic }) => isStatic);
  const listeners = topology.listeners.filter((listener) => isPlain || !listener.isStatic);
  const mainScene = sceneOf(
    topology,
    listeners,
    all.filter((cluster) => main.has(cluster)),
  );
  const drawn = new Set(mainScene.listeners);
  const others = listeners.filter((listener) => !drawn.has(listener));
  const lost = others.filter((listener) => leadsNowhere(topology, listener));
  return {
    main: {
      ...mainScene,
      listeners: [...mainScene.listeners, ...lost.slice(0, FEW)],
      moreListeners: mainScene.moreListeners + Math.max(0, lost.length - FEW),
    },
    quiet: sceneOf(topology, listeners, quiet.slice(0, MOST_QUIET)),
    own: isPlain
      ? sceneOf(topology, [], [])
      : sceneOf(
          topology,
          topology.listeners.filter(({ isStatic }) => isStatic),
          own,
        ),
    notDrawn: Math.max(0, quiet.length - MOST_QUIET),
  };
}

/** In the order in which they came. */
function busiest(clusters: readonly Cluster[], traffic: Traffic): Cluster[] {
  const byRequests = [...clusters].sort((a, b) => requestsOf(b, traffic) - requestsOf(a, traffic));
  const most = new Set(byRequests.slice(0, MOST_BUSY));
  return clusters.filter((cluster) => most.has(cluster));
}

function requestsOf({ name }: Cluster, traffic: Traffic): number {
  return traffic.get(name)?.requests ?? 0;
}

/** These clusters, and what leads to them. */
function sceneOf(topology: Topology, listeners: readonly Listener[], clusters: readonly Cluster[]): Scene {
  const names = new Set(clusters.map(({ name }) => name));
  const leadsHere = (to: readonly string[]): boolean => to.some((name) => names.has(name));
  const tables = new Map([...topology.routes].filter(([, table]) => leadsHere(table.clusters)));
  const leading = listeners.filter((one) => one.routes.some((name) => tables.has(name)) || leadsHere(one.clusters));
  const shown = mostTelling(leading, names, tables);
  const routes = [...new Set(shown.flatMap((one) => one.routes))].flatMap((name) => tables.get(name) ?? []);
  return {
    listeners: shown,
    routes: routes.slice(0, MOST_WAYS),
    clusters,
    moreListeners: leading.length - shown.length,
    moreRoutes: Math.max(0, routes.length - MOST_WAYS),
    areWaysUnknown: topology.areWaysUnknown ?? false,
  };
}

/** Those in trouble, then those that are the first to lead to a cluster, then the others; in the order in which they came. */
function mostTelling(
  listeners: readonly Listener[],
  clusters: ReadonlySet<string>,
  tables: ReadonlyMap<string, RouteTable>,
): readonly Listener[] {
  if (listeners.length <= MOST_WAYS) return listeners;
  const troubled = listeners.filter((listener) => troubleOfListener(listener) !== undefined);
  const unreached = new Set(clusters);
  const seen = new Set<string>();
  const first = listeners.filter((listener) => {
    const before = unreached.size;
    for (const name of listener.clusters) unreached.delete(name);
    for (const route of listener.routes) {
      if (!seen.has(route)) for (const name of tables.get(route)?.clusters ?? []) unreached.delete(name);
      seen.add(route);
    }
    return unreached.size < before;
  });
  const chosen = new Set([...new Set([...troubled, ...first, ...listeners])].slice(0, MOST_WAYS));
  return listeners.filter((listener) => chosen.has(listener));
}

function leadsNowhere(topology: Topology, { clusters, routes }: Listener): boolean {
  return clusters.length === 0 && routes.every((name) => (topology.routes.get(name)?.clusters ?? []).length === 0);
}

/** In the order in which the listeners reach them, so that lines cross rarely. */
function inOrder(topology: Topology): Cluster[] {
  const names = new Set<string>();
  const seen = new Set<string>();
  for (const { clusters, routes } of topology.listeners) {
    for (const name of clusters) names.add(name);
    for (const route of routes) {
      if (!seen.has(route)) for (const name of topology.routes.get(route)?.clusters ?? []) names.add(name);
      seen.add(route);
    }
  }
  const known = [...names].flatMap((name) => topology.clusters.get(name) ?? []);
  return [...known, ...[...topology.clusters.values()].filter(({ name }) => !names.has(name))];
}
