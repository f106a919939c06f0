import { Contents, type OpenResponse, type Place } from "./contents.ts";
import { type Entry, encodeEntry, FORMAT } from "./entries.ts";
import type { WritableLog } from "./log-file.ts";
import { together } from "./read-places.ts";
import type { Turns } from "./turns.ts";

export interface RewriteOptions {
  readonly contents: Contents;
  readonly owner: string;
  /** The values at places that lie together. */
  readonly read: (places: readonly Place[]) => Promise<readonly Buffer[]>;
  /** A number that no response has. */
  readonly nextResponse: () => number;
  readonly turns: Turns;
}

/** Writes what counts, and what may come to count, into a new log; gives that as it lies there. */
export async function writeAnew(log: WritableLog, options: RewriteOptions): Promise<Contents> {
  const { contents, owner, read, nextResponse, turns } = options;
  const written = new Contents();
  const write = async (entry: Entry, value: Uint8Array = new Uint8Array()): Promise<void> => {
    const at = await log.append(encodeEntry(entry, value));
    written.apply(entry, { at, bytes: value.length });
  };
  const copy = async (response: number, { typeUrl, resources }: OpenResponse): Promise<void> => {
    const all = Array.from(resources, ([name, place]) => ({ name, place }));
    for (const group of together(all)) {
      const values = await read(group.map(({ place }) => place));
      for (const [at, { name, place }] of group.entries()) {
        const { version, sha256 } = place;
        await write({ kind: "resource", response, typeUrl, name, version, sha256 }, values[at]);
        if (turns.isOver) await turns.next();
      }
    }
  };
  await write({ kind: "head", format: FORMAT, owner });
  for (const [typeUrl, { version, atMs, resources }] of contents.types) {
    const response = nextResponse();
    await copy(response, { typeUrl, resources });
    await write({ kind: "accepted", response, typeUrl, version, removed: [], atMs });
  }
  for (const [response, open] of contents.open) await copy(response, open);
  await log.publish();
  return written;
}
