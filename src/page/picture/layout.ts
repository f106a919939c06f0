import type { Listener } from "../model/read-topology.ts";
import type { Scene } from "./choose.ts";

/** A box of the picture, in its units, which are CSS pixels. */
export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface Line {
  readonly from: Box;
  readonly to: Box;
}

export interface Layout {
  readonly width: number;
  readonly height: number;
  readonly listeners: ReadonlyMap<Listener, Box>;
  readonly routes: ReadonlyMap<string, Box>;
  readonly clusters: ReadonlyMap<string, Box>;
  /** By cluster. */
  readonly endpoints: ReadonlyMap<string, Box>;
  readonly lines: readonly Line[];
}

/** Left edge and width of each column. */
export const COLUMNS = {
  listeners: { x: 0, width: 200 },
  routes: { x: 240, width: 200 },
  clusters: { x: 480, width: 430 },
  endpoints: { x: 946, width: 214 },
} as const;

const GAP = 12;
const SMALL = 44;
/** So that what leads to many clusters is on the screen with the first of them. */
const NEAR = 176;

/** Clusters one below the other, with their endpoints beside them; what leads to them is at the middle of its clusters. */
export function layOut(scene: Scene, clusterHeight: number): Layout {
  const clusters = new Map<string, Box>();
  scene.clusters.forEach(({ name }, at) => {
    clusters.set(name, { ...COLUMNS.clusters, y: at * (clusterHeight + GAP), height: clusterHeight });
  });
  const endpoints = new Map([...clusters].map(([name, box]) => [name, { ...box, ...COLUMNS.endpoints }]));
  const routes = column(
    scene.routes.map(({ name, clusters: to }) => ({ key: name, to: boxesOf(to, clusters) })),
    COLUMNS.routes,
  );
  const listeners = column(
    scene.listeners.map((key) => ({
      key, // a name may be there twice
      to: [...boxesOf(key.routes, routes), ...boxesOf(key.clusters, clusters)],
    })),
    COLUMNS.listeners,
  );
  const lines = [
    ...scene.listeners.flatMap((one) => linesOf(listeners.get(one), boxesOf(one.routes, routes))),
    ...scene.listeners.flatMap((one) => linesOf(listeners.get(one), boxesOf(one.clusters, clusters))),
    ...scene.routes.flatMap((one) => linesOf(routes.get(one.name), boxesOf(one.clusters, clusters))),
    ...scene.clusters.flatMap(({ name }) => linesOf(clusters.get(name), boxesOf([name], endpoints))),
  ];
  const all = [...clusters.values(), ...routes.values(), ...listeners.values()];
  const height = all.reduce((most, box) => Math.max(most, box.y + box.height), SMALL);
  return {
    width: COLUMNS.endpoints.x + COLUMNS.endpoints.width,
    height,
    listeners,
    routes,
    clusters,
    endpoints,
    lines,
  };
}

interface Wish<Key> {
  readonly key: Key;
  readonly to: readonly Box[];
}

/** Each beside the middle of what it leads to, but not far below the first of that, as the ones above it allow. */
function column<Key>(
  wishes: readonly Wish<Key>[],
  place: { readonly x: number; readonly width: number },
): Map<Key, Box> {
  const wanted = wishes.map(({ key, to }) => ({ key, middle: middleOf(to) })).sort((a, b) => a.middle - b.middle);
  const placed = new Map<Key, Box>();
  let freeFrom = 0;
  for (const { key, middle } of wanted) {
    const y = Math.max(freeFrom, Number.isFinite(middle) ? middle - SMALL / 2 : freeFrom);
    placed.set(key, { ...place, y, height: SMALL });
    freeFrom = y + SMALL + GAP;
  }
  return placed;
}

/** Infinite where it leads to nothing: such boxes come last. */
function middleOf(boxes: readonly Box[]): number {
  if (boxes.length === 0) return Number.POSITIVE_INFINITY;
  const middles = boxes.map(({ y, height }) => y + height / 2);
  const mean = middles.reduce((sum, middle) => sum + middle, 0) / middles.length;
  return Math.min(mean, Math.min(...middles) + NEAR);
}

function boxesOf(names: readonly string[], boxes: ReadonlyMap<string, Box>): Box[] {
  return names.flatMap((name) => boxes.get(name) ?? []);
}

function linesOf(from: Box | undefined, to: readonly Box[]): Line[] {
  return from === undefined ? [] : to.map((one) => ({ from, to: one }));
}
