import { readdir, stat, unlink, utimes } from "node:fs/promises";
import { join } from "node:path";
import { holdFolder, readTextFile, type TrustedFolder } from "../base/index.ts";

export const WASM = ".wasm";
export const RECORD = ".json";
export const TEMPORARY = ".tmp";
/** Of records about URLs; the others are about a module. */
export const URL_RECORD = "url-";

export interface PurgeOptions {
  /** How long a module stays that nobody uses. */
  readonly expiryMs: number;
  readonly isInUse: (file: string) => boolean;
  readonly onRemoved: (file: string) => void;
}

/** No download takes so long: who began it is gone. */
const ABANDONED_MS = 3_600_000;

/**
 * Removes modules that were not used for so long, what is known of them, and what an agent that was killed has left.
 * Resolves with the number of modules that stay. Rejects with the system's error.
 */
export async function purge(folder: string, options: PurgeOptions): Promise<number> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  let left = 0;
  let failure: unknown;
  for (const entry of entries) {
    if (!entry.isDirectory() || !/^[0-9a-f]{64}$/.test(entry.name)) continue;
    try {
      left += await purgeOne(join(folder, entry.name), options);
    } catch (error) {
      failure ??= error; // of another user, perhaps; the others are purged all the same
    }
  }
  if (failure !== undefined) throw failure;
  return left;
}

/** What is there of one name. */
async function purgeOne(place: string, { expiryMs, isInUse, onRemoved }: PurgeOptions): Promise<number> {
  await using folder = await holdFolder(place);
  const ages = await agesIn(folder);
  const staying = new Set<string>();
  const remove = async (name: string): Promise<void> => {
    await unlink(folder.at(name)).catch(() => undefined); // another agent may be as fast
    onRemoved(join(place, name));
  };
  for (const [name, ageMs] of ages) {
    if (name.endsWith(TEMPORARY) && ageMs > ABANDONED_MS) await remove(name);
    if (!name.endsWith(WASM)) continue;
    const isUsed = isInUse(join(place, name));
    if (isUsed) await utimes(folder.at(name), new Date(), new Date()).catch(() => undefined); // for agents that share the folder
    if (isUsed || ageMs <= expiryMs) staying.add(name.slice(0, -WASM.length));
    else await remove(name);
  }
  for (const [name, ageMs] of ages) {
    if (!name.endsWith(RECORD) || ageMs <= Math.min(expiryMs, ABANDONED_MS)) continue; // its module may be on the way
    if (!staying.has(await checksumOf(folder, name))) await remove(name);
  }
  return staying.size;
}

async function agesIn(folder: TrustedFolder): Promise<ReadonlyMap<string, number>> {
  const ages = new Map<string, number>();
  for (const name of await readdir(folder.here)) {
    const found = await stat(folder.at(name)).catch(() => undefined);
    if (found !== undefined) ages.set(name, Date.now() - found.mtimeMs);
  }
  return ages;
}

/** Of the module that a record is about. */
async function checksumOf(folder: TrustedFolder, name: string): Promise<string> {
  if (!name.startsWith(URL_RECORD)) return name.slice(0, -RECORD.length);
  return String((await readRecord(folder.at(name)))?.checksum);
}

/** Undefined for what is no JSON object, as if it were not there: the module is fetched again. */
export async function readRecord(file: string): Promise<Record<string, unknown> | undefined> {
  try {
    const found: unknown = JSON.parse(await readTextFile(file));
    return typeof found === "object" && found !== null ? (found as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
