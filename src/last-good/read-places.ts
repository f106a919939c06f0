import type { Place } from "./contents.ts";
import { hashOf } from "./hash.ts";
import type { ReadableLog } from "./log-file.ts";
import type { Turns } from "./turns.ts";

/** What is read at once, unless a single value is longer: a system call for each resource would cost more than all else. */
const READ_BYTES = 256 * 1_024;
/** Values that lie farther apart are read one by one. */
const MOST_GAP_BYTES = 4 * 1_024;

/** In their order, and together those that lie together: what one call of `readPlaces` should get. */
export function* together<T extends { readonly place: Place }>(all: Iterable<T>): Generator<readonly T[]> {
  let group: T[] = [];
  let [from, to] = [0, 0];
  for (const one of all) {
    const { at, bytes } = one.place;
    const isNear = at >= to && at - to <= MOST_GAP_BYTES && at + bytes - from <= READ_BYTES;
    if (group.length > 0 && !isNear) {
      yield group;
      group = [];
    }
    if (group.length === 0) from = at;
    group.push(one);
    to = at + bytes;
  }
  if (group.length > 0) yield group;
}

/** The values at these places, in a single read. Rejects with the system's error; a value is undefined where the log was damaged. */
export async function readPlaces(
  log: ReadableLog,
  places: readonly Place[],
  turns: Turns,
): Promise<(Buffer | undefined)[]> {
  const from = Math.min(...places.map(({ at }) => at));
  const bytes = await log.read(from, Math.max(...places.map((place) => place.at + place.bytes)) - from);
  const values: (Buffer | undefined)[] = [];
  for (const place of places) {
    const value = bytes.subarray(place.at - from, place.at - from + place.bytes);
    values.push((await hashOf(value, turns)) === place.sha256 ? value : undefined);
  }
  return values;
}
