import { createHash } from "node:crypto";
import type { BigIntStats } from "node:fs";
import { createReadStream } from "node:fs";
import { chmod, lstat } from "node:fs/promises";
import {
  AgentError,
  openTrustedFolder,
  readTrustedFile,
  type TrustedFolder,
  trustedUsers,
  untrusted,
  whyUntrusted,
  writeFileAtomically,
} from "../../base/index.ts";

/** What a file was like when its content was hashed. A change of the content changes at least the last. */
interface Remembered {
  readonly sha256: string;
  readonly size: string;
  readonly device: string;
  readonly inode: string;
  readonly mtimeNs: string;
  readonly ctimeNs: string;
}

/** Beside the executable. */
const RECORD = "verified.json";
const MOST_RECORD_BYTES = 4_096;
const EXECUTABLE = "envoy";

/**
 * Verifies, before it is run, what was verified when it was fetched: that only this user and root can change the
 * executable `envoy` in `folder` and every folder above it, and that it is one of those that are pinned. The file is
 * hashed when it is not the one that was hashed last, which takes a quarter of a second; otherwise a look is enough. What
 * nobody pins has to stay what it was at first. Rejects with UNTRUSTED_PATH or ENVOY_HASH_MISMATCH.
 */
export async function verifyCached(folder: string, pinned: readonly string[]): Promise<void> {
  const path = `${folder}/${EXECUTABLE}`;
  await using place = await openTrustedFolder(folder, trustedUsers());
  const found = await lstat(place.at(EXECUTABLE), { bigint: true });
  const why = found.isFile() ? whyUntrusted(asNumbers(found), trustedUsers()) : "is no regular file";
  if (why !== undefined) throw untrusted(path, why);
  const record = await readRecord(place);
  const wanted = pinned.length > 0 || record === undefined ? pinned : [record.sha256];
  if (record !== undefined && wanted.includes(record.sha256) && isSame(record, found)) return;
  const sha256 = await sha256Of(place.at(EXECUTABLE));
  if (wanted.length > 0 && !wanted.includes(sha256)) throw mismatch(path, sha256, wanted, pinned.length > 0);
  await remember(place, sha256, found);
}

/** Notes what was just hashed, or fetched and verified. */
export async function rememberVerified(folder: string, sha256: string): Promise<void> {
  await using place = await openTrustedFolder(folder, trustedUsers());
  await remember(place, sha256, await lstat(place.at(EXECUTABLE), { bigint: true }));
}

/** Read from disk, after writing: what is verified is what will be run. Rejects with a system error, or the reason of `stop`. */
export async function sha256Of(path: string, stop?: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  const options = { highWaterMark: 1_048_576, ...(stop === undefined ? {} : { signal: stop }) };
  for await (const chunk of createReadStream(path, options)) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

/** Whether a file of the cache has that very content. Rejects with the reason of `stop`. */
export async function isIntact(path: string, sha256: string, stop: AbortSignal): Promise<boolean> {
  const found = await sha256Of(path, stop).catch(() => undefined); // missing or unreadable: to be fetched
  stop.throwIfAborted();
  if (found !== sha256) return false;
  await chmod(path, 0o755).catch(() => undefined); // a copy from elsewhere may have lost it; where we may not, it is set
  return true;
}

async function readRecord(place: TrustedFolder): Promise<Remembered | undefined> {
  try {
    const text = await readTrustedFile(place.at(RECORD), trustedUsers(), MOST_RECORD_BYTES);
    const found = JSON.parse(text) as Partial<Remembered> | null;
    return typeof found?.sha256 === "string" ? (found as Remembered) : undefined;
  } catch {
    return undefined; // none, or not ours: then the file itself is read
  }
}

/** Where the cache cannot be written each start reads the file. */
async function remember(place: TrustedFolder, sha256: string, found: BigIntStats): Promise<void> {
  const content = `${JSON.stringify({ sha256, ...factsOf(found) })}\n`;
  await writeFileAtomically(place.at(RECORD), content, { mode: 0o644, mayCreateFolder: false }).catch(() => undefined);
}

function isSame(record: Remembered, found: BigIntStats): boolean {
  return Object.entries(factsOf(found)).every(([name, value]) => record[name as keyof Remembered] === value);
}

function factsOf({ size, dev, ino, mtimeNs, ctimeNs }: BigIntStats): Omit<Remembered, "sha256"> {
  return {
    size: String(size),
    device: String(dev),
    inode: String(ino),
    mtimeNs: String(mtimeNs),
    ctimeNs: String(ctimeNs),
  };
}

function asNumbers({ uid, gid, mode }: BigIntStats) {
  return { uid: Number(uid), gid: Number(gid), mode: Number(mode) };
}

function mismatch(path: string, found: string, wanted: readonly string[], isPinned: boolean): AgentError {
  const by = isPinned ? "envoy.lock.json wants" : "at fetch time it was";
  return new AgentError(
    "ENVOY_HASH_MISMATCH",
    `Cannot run the cached "${path}": its SHA-256 is ${found}, ${by} ${wanted.join(" or ")}`,
    { hint: 'Find out what changed it, then run "pilotboat envoy fetch" to replace it' },
  );
}
