import { createHash } from "node:crypto";
import { hashOf } from "./hash.ts";
import type { Turns } from "./turns.ts";

// The file is a log: entries one after another, each with a head (bytes of the facts and of the value, a check of both
// and of the facts), facts as JSON, and the value, whose hash is among the facts. What ends early, or was damaged, is
// recognized, and everything before it counts.

/** The first entry: what the file is, and whose. */
export interface HeadEntry {
  readonly kind: "head";
  readonly format: typeof FORMAT;
  readonly owner: string;
}

/** A resource of a response. It counts once the response was accepted. Its value follows. */
export interface ResourceEntry {
  readonly kind: "resource";
  /** Number of the response. */
  readonly response: number;
  readonly typeUrl: string;
  /** Empty where the type has no names. */
  readonly name: string;
  /** Its own; empty in whole states, and where the control plane gives none. */
  readonly version: string;
  /** The first 16 bytes of the value's SHA-256, hexadecimal. */
  readonly sha256: string;
}

/** Envoy accepted a response: its resources replace those of the same names. */
export interface AcceptedEntry {
  readonly kind: "accepted";
  readonly response: number;
  readonly typeUrl: string;
  readonly version: string;
  /** Names of resources that are gone. */
  readonly removed: readonly string[];
  /** Milliseconds since the epoch. */
  readonly atMs: number;
}

/** Nothing of a type is known any more. */
export interface ForgottenEntry {
  readonly kind: "forgotten";
  readonly typeUrl: string;
}

export type Entry = HeadEntry | ResourceEntry | AcceptedEntry | ForgottenEntry;

export const FORMAT = 1;

const HEAD_BYTES = 12;
const CHECK_BYTES = 4;

/** What an entry is on disk; the value lies behind `front`. */
export interface Encoded {
  readonly front: Buffer;
  readonly value: Uint8Array;
}

export function encodeEntry(entry: Entry, value: Uint8Array = new Uint8Array()): Encoded {
  const facts = Buffer.from(JSON.stringify(entry));
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUInt32LE(facts.length, 0);
  head.writeUInt32LE(value.length, 4);
  checkOf(head, facts).copy(head, 8);
  return { front: Buffer.concat([head, facts]), value };
}

/** Reads on in the file; undefined at its end. */
export type Take = (bytes: number) => Promise<Buffer | undefined>;

export interface ReadEntry {
  readonly entry: Entry;
  /** From the beginning of the entry. */
  readonly valueAt: number;
  readonly valueBytes: number;
}

/** The next entry, with its value verified; undefined where the file ends. Throws where it is damaged. */
export async function readEntry(take: Take, turns: Turns): Promise<ReadEntry | undefined> {
  const head = await take(HEAD_BYTES);
  if (head === undefined) return undefined;
  const [factBytes, valueBytes] = [head.readUInt32LE(0), head.readUInt32LE(4)];
  if (factBytes > MOST_FACT_BYTES || valueBytes > MOST_VALUE_BYTES) throw new Error("an entry has no sensible length");
  const facts = await take(factBytes);
  if (facts === undefined) return undefined;
  if (!checkOf(head, facts).equals(head.subarray(8))) throw new Error("an entry does not match its check");
  const entry = JSON.parse(facts.toString()) as Entry; // written by this program: the check says so
  const value = await take(valueBytes);
  if (value === undefined) return undefined;
  if (entry.kind === "resource" && (await hashOf(value, turns)) !== entry.sha256)
    throw new Error("a value does not match its hash");
  return { entry, valueAt: HEAD_BYTES + factBytes, valueBytes };
}

/** Of one resource, also in memory. */
export const MOST_VALUE_BYTES = 8 * 2 ** 20;
/** An accepted response may remove every resource of a large mesh by name. */
const MOST_FACT_BYTES = 64 * 2 ** 20;

function checkOf(head: Buffer, facts: Buffer): Buffer {
  return createHash("sha256").update(head.subarray(0, 8)).update(facts).digest().subarray(0, CHECK_BYTES);
}
