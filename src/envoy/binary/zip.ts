import { createReadStream, createWriteStream } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";

/** Where one file lies in a zip archive. */
interface Entry {
  readonly name: string;
  readonly flags: number;
  readonly method: number;
  readonly crc32: number;
  readonly packedBytes: number;
  readonly bytes: number;
  readonly headerOffset: number;
}

export interface Extraction {
  readonly archive: string;
  /** Name of the file inside it. */
  readonly name: string;
  /** Path of a file that does not exist yet. */
  readonly target: string;
  /** Unpacked. Default 1 GiB. */
  readonly mostBytes?: number;
  readonly stop: AbortSignal;
}

const LARGEST = 2 ** 30;

/** Writes one file of an archive to disk, a piece at a time, checked by length and CRC. Rejects with an Error that says why. */
export async function extractZipEntry({ archive, name, target, mostBytes = LARGEST, stop }: Extraction): Promise<void> {
  const { entry, start } = await locate(archive, name, mostBytes);
  const range = { start, end: start + entry.packedBytes - 1, highWaterMark: LONGEST_STORED_BLOCK };
  const packed = entry.packedBytes === 0 ? [] : createReadStream(archive, range);
  const unpack = createGunzip({ chunkSize: CHUNK_BYTES });
  try {
    const file = createWriteStream(target, { flags: "wx" });
    const whole = (bytes: AsyncIterable<Buffer>) => limited(bytes, entry);
    await pipeline(asGzip(packed, entry), unpack, whole, file, { signal: stop });
  } catch (error) {
    if (error instanceof Error && "code" in error && String(error.code).startsWith("Z_")) {
      throw new Error(`"${name}" in the archive is damaged`, { cause: error });
    }
    throw error;
  }
}

/** zlib compares with the claimed length at the end only; until then it would fill the disk. */
async function* limited(bytes: AsyncIterable<Buffer>, entry: Entry): AsyncGenerator<Buffer> {
  let left = entry.bytes;
  for await (const chunk of bytes) {
    left -= chunk.length;
    if (left < 0) throw new Error(`"${entry.name}" in the archive is damaged: it is longer than ${entry.bytes} bytes`);
    yield chunk;
  }
}

// PKWARE APPNOTE 4.3 and 4.4: signatures, sizes and values of the records that are read here.
const END_SIGNATURE = 0x0605_4b50;
const END_BYTES = 22;
const LONGEST_COMMENT = 65_535;
const CENTRAL_SIGNATURE = 0x0201_4b50;
const CENTRAL_BYTES = 46;
const LOCAL_SIGNATURE = 0x0403_4b50;
const LOCAL_BYTES = 30;
const ENCRYPTED = 1;
const STORED = 0;
const DEFLATED = 8;
const IN_ZIP64 = 0xffff_ffff;

/** Some hundred thousand files. */
const LARGEST_DIRECTORY = 16 * 1_024 * 1_024;

const CHUNK_BYTES = 256 * 1_024;
const LONGEST_STORED_BLOCK = 65_535;

async function locate(
  path: string,
  name: string,
  mostBytes: number,
): Promise<{ readonly entry: Entry; readonly start: number }> {
  const archive = await open(path);
  try {
    const entry = (await entriesOf(archive)).find((one) => one.name === name);
    if (entry === undefined) throw new Error(`the archive has no "${name}"`);
    if ([entry.packedBytes, entry.bytes, entry.headerOffset].includes(IN_ZIP64)) throw new Error(ZIP64);
    if (entry.bytes > mostBytes)
      throw new Error(`"${name}" in the archive has ${entry.bytes} bytes, at most ${mostBytes} are possible`);
    if (entry.flags & ENCRYPTED) throw new Error(`"${name}" in the archive is encrypted`);
    if (entry.method !== STORED && entry.method !== DEFLATED) {
      throw new Error(`"${name}" in the archive is compressed by method ${entry.method}, wanted 0 or 8`);
    }
    return { entry, start: await dataOffset(archive, entry) };
  } finally {
    await archive.close();
  }
}

const ZIP64 = "the archive is in ZIP64 format, which is not supported";

async function entriesOf(archive: FileHandle): Promise<Entry[]> {
  const { size } = await archive.stat();
  const tail = await readAt(archive, Math.max(0, size - END_BYTES - LONGEST_COMMENT), size);
  let at = tail.length - END_BYTES;
  while (at >= 0 && tail.readUInt32LE(at) !== END_SIGNATURE) at--;
  if (at < 0) throw new Error("the archive has no end record: it is truncated or not a zip");
  const bytes = tail.readUInt32LE(at + 12);
  const offset = tail.readUInt32LE(at + 16);
  if (offset === IN_ZIP64 || bytes === IN_ZIP64) throw new Error(ZIP64);
  if (bytes > LARGEST_DIRECTORY) throw new Error(`the archive's directory has ${bytes} bytes`);
  if (offset + bytes > size) throw new Error("the archive's directory lies beyond its end");
  return parseDirectory(await readAt(archive, offset, offset + bytes));
}

function parseDirectory(directory: Buffer): Entry[] {
  const entries: Entry[] = [];
  let at = 0;
  while (at + CENTRAL_BYTES <= directory.length && directory.readUInt32LE(at) === CENTRAL_SIGNATURE) {
    const nameEnd = at + CENTRAL_BYTES + directory.readUInt16LE(at + 28);
    entries.push({
      name: directory.toString("utf8", at + CENTRAL_BYTES, nameEnd),
      flags: directory.readUInt16LE(at + 8),
      method: directory.readUInt16LE(at + 10),
      crc32: directory.readUInt32LE(at + 16),
      packedBytes: directory.readUInt32LE(at + 20),
      bytes: directory.readUInt32LE(at + 24),
      headerOffset: directory.readUInt32LE(at + 42),
    });
    at = nameEnd + directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32);
  }
  return entries;
}

async function dataOffset(archive: FileHandle, { headerOffset, name }: Entry): Promise<number> {
  const header = await readAt(archive, headerOffset, headerOffset + LOCAL_BYTES);
  if (header.readUInt32LE(0) !== LOCAL_SIGNATURE) throw new Error(`"${name}" is not where the archive says`);
  return headerOffset + LOCAL_BYTES + header.readUInt16LE(26) + header.readUInt16LE(28);
}

async function readAt(archive: FileHandle, start: number, end: number): Promise<Buffer> {
  const buffer = Buffer.alloc(end - start);
  const { bytesRead } = await archive.read(buffer, 0, buffer.length, start);
  if (bytesRead !== buffer.length) throw new Error("the archive is truncated");
  return buffer;
}

const GZIP_HEADER = Buffer.from([0x1f, 0x8b, DEFLATED, 0, 0, 0, 0, 0, 0, 0xff]);
const LAST_BLOCK = Buffer.from([1, 0, 0, 0xff, 0xff]);

/**
 * Dresses an entry as a gzip file (RFC 1952), so that zlib checks CRC and length itself: in script that takes ten times
 * longer, and zlib's own function for it is missing from early Node 20. Stored bytes become stored blocks (RFC 1951, 3.2.4).
 */
async function* asGzip(packed: AsyncIterable<Buffer> | Iterable<Buffer>, { method, crc32, bytes }: Entry) {
  yield GZIP_HEADER;
  for await (const chunk of packed) {
    if (method === STORED) yield storedBlock(chunk.length);
    yield chunk;
  }
  if (method === STORED) yield LAST_BLOCK;
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(crc32, 0);
  trailer.writeUInt32LE(bytes, 4);
  yield trailer;
}

/** The header before at most LONGEST_STORED_BLOCK bytes. */
function storedBlock(length: number): Buffer {
  const header = Buffer.alloc(5);
  header.writeUInt16LE(length, 1);
  header.writeUInt16LE(length ^ 0xffff, 3);
  return header;
}
