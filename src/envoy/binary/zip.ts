import { createReadStream } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import type { Readable } from "node:stream";
import { createInflateRaw } from "node:zlib";
import { AgentError } from "../../base/index.ts";

/** Where one file lies in a zip archive. */
interface Entry {
  readonly name: string;
  readonly method: number;
  readonly compressedBytes: number;
  readonly headerOffset: number;
}

// PKWARE APPNOTE 4.3: signatures and sizes of the records that are read here.
const END_SIGNATURE = 0x06054b50;
const END_BYTES = 22;
const CENTRAL_SIGNATURE = 0x02014b50;
const LOCAL_HEADER_BYTES = 30;
const LONGEST_COMMENT = 65_535;
const STORED = 0;
const DEFLATED = 8;
const ZIP64 = 0xffff_ffff;

/** The content of one file of an archive as a stream. Rejects with ENVOY_FETCH_FAILED. */
export async function openZipEntry(path: string, name: string): Promise<Readable> {
  const archive = await open(path);
  try {
    const entry = (await entriesOf(archive)).find((one) => one.name === name);
    if (entry === undefined) throw broken(path, `there is no "${name}" in it`);
    if (entry.method !== STORED && entry.method !== DEFLATED) throw broken(path, "unknown compression");
    const start = await dataOffset(archive, entry);
    const raw = createReadStream(path, { start, end: start + entry.compressedBytes - 1 });
    if (entry.method === STORED) return raw;
    const inflate = createInflateRaw();
    raw.once("error", (error) => inflate.destroy(error));
    return raw.pipe(inflate);
  } finally {
    await archive.close();
  }
}

async function entriesOf(archive: FileHandle): Promise<Entry[]> {
  const { size } = await archive.stat();
  const tail = await readAt(archive, Math.max(0, size - END_BYTES - LONGEST_COMMENT), size);
  let at = tail.length - END_BYTES;
  while (at >= 0 && tail.readUInt32LE(at) !== END_SIGNATURE) at--;
  if (at < 0) throw broken("the archive", "it has no end record, so it was cut off or is no zip");
  const directoryBytes = tail.readUInt32LE(at + 12);
  const directoryOffset = tail.readUInt32LE(at + 16);
  if (directoryOffset === ZIP64) throw broken("the archive", "ZIP64 is not supported");
  return parseDirectory(await readAt(archive, directoryOffset, directoryOffset + directoryBytes));
}

function parseDirectory(directory: Buffer): Entry[] {
  const entries: Entry[] = [];
  for (let at = 0; at + 46 <= directory.length && directory.readUInt32LE(at) === CENTRAL_SIGNATURE; ) {
    const nameBytes = directory.readUInt16LE(at + 28);
    entries.push({
      method: directory.readUInt16LE(at + 10),
      compressedBytes: directory.readUInt32LE(at + 20),
      headerOffset: directory.readUInt32LE(at + 42),
      name: directory.toString("utf8", at + 46, at + 46 + nameBytes),
    });
    at += 46 + nameBytes + directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32);
  }
  return entries;
}

async function dataOffset(archive: FileHandle, { headerOffset }: Entry): Promise<number> {
  const header = await readAt(archive, headerOffset, headerOffset + LOCAL_HEADER_BYTES);
  return headerOffset + LOCAL_HEADER_BYTES + header.readUInt16LE(26) + header.readUInt16LE(28);
}

async function readAt(archive: FileHandle, start: number, end: number): Promise<Buffer> {
  const buffer = Buffer.alloc(end - start);
  const { bytesRead } = await archive.read(buffer, 0, buffer.length, start);
  if (bytesRead !== buffer.length) throw broken("the archive", "it was cut off");
  return buffer;
}

function broken(what: string, why: string): AgentError {
  return new AgentError("ENVOY_FETCH_FAILED", `Cannot unpack ${what}: ${why}`);
}
