import type { Cluster, Listener, RouteTable, Topology } from "../model/read-topology.ts";
import type { Traffic } from "../model/read-traffic.ts";

/** A part of a topology that is drawn as one picture. */
export interface Scene {
  readonly listeners: readonly Listener[];
  readonly routes: readonly RouteTable[];
  readonly clusters: readonly Cluster[];
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
  const leadsNowhere = others.filter((listener) => reached(topology, listener).size === 0);
  return {
    main: { ...mainScene, listeners: [...mainScene.listeners, ...leadsNowhere.slice(0, FEW)] },
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
  const isShown = (listener: Listener): boolean => [...reached(topology, listener)].some((name) => names.has(name));
  const shown = listeners.filter(isShown);
  const tables = new Set(shown.flatMap(({ routes }) => routes));
  const routes = [...tables]
    .flatMap((name) => topology.routes.get(name) ?? [])
    .filter((one) => leadsHere(one.clusters));
  return { listeners: shown, routes, clusters };
}

function reached(topology: Topology, listener: Listener): ReadonlySet<string> {
  const throughRoutes = listener.routes.flatMap((name) => topology.routes.get(name)?.clusters ?? []);
  return new Set([...listener.clusters, ...throughRoutes]);
}

/** In the order in which the listeners reach them, so that lines cross rarely. */
function inOrder(topology: Topology): Cluster[] {
  const names = new Set(topology.listeners.flatMap((listener) => [...reached(topology, listener)]));
  const known = [...names].flatMap((name) => topology.clusters.get(name) ?? []);
  return [...known, ...[...topology.clusters.values()].filter(({ name }) => !names.has(name))];
}
