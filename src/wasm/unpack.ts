import { Readable } from "node:stream";

type Pieces = AsyncIterable<Uint8Array>;

/** Where a tar names itself; source: POSIX, pax, "ustar Interchange Format". */
const USTAR = { at: 257, text: "ustar" } as const;
const MOST_LAYERS = 8;

/**
 * The module in what was downloaded: what is packed with gzip is unpacked, of a tar the first file is taken, and again, as
 * Istio's agent does. Neither the packed nor the unpacked bytes may be more than `mostBytes`: then, and for a damaged
 * archive, reading throws.
 */
export async function* unpacked(pieces: Pieces, mostBytes: number): AsyncGenerator<Uint8Array, void, void> {
  let rest: Pieces = limitModule(pieces, mostBytes);
  for (let layers = 0; layers < MOST_LAYERS; layers++) {
    const peeked = await peek(rest, USTAR.at + USTAR.text.length);
    rest = peeked.all;
    if (isModule(peeked.start)) break; // whatever stands where a tar names itself
    if (isGzip(peeked.start)) rest = limitModule(gunzipped(rest), mostBytes);
    else if (isTar(peeked.start)) rest = fileOfTar(rest, () => true);
    else break;
  }
  yield* rest;
}

/** The first `plugin.wasm` of a layer (tar, gzip). Reading throws when there is none. */
export async function* pluginOfLayer(pieces: Pieces, mostBytes: number): AsyncGenerator<Uint8Array, void, void> {
  const isPlugin = (name: string): boolean => /(^|\/)plugin\.wasm$/.test(name);
  yield* limitModule(fileOfTar(gunzipped(pieces), isPlugin), mostBytes);
}

async function* limitModule(pieces: Pieces, mostBytes: number): AsyncGenerator<Uint8Array, void, void> {
  let bytes = 0;
  for await (const piece of pieces) {
    bytes += piece.length;
    if (bytes > mostBytes) throw new TooLarge(mostBytes);
    yield piece;
  }
}

/** Trying again does not mend it. */
export class TooLarge extends Error {
  constructor(mostBytes: number) {
    super(`the module is larger than the ${mostBytes} bytes of ISTIO_WASM_MAX_BINARY_SIZE_BYTES`);
  }
}

/** The first bytes, at most `bytes` of them, and everything. */
async function peek(pieces: Pieces, bytes: number): Promise<{ readonly start: Buffer; readonly all: Pieces }> {
  const iterator = pieces[Symbol.asyncIterator]();
  const read: Uint8Array[] = [];
  let length = 0;
  while (length < bytes) {
    const next = await iterator.next();
    if (next.done === true) break;
    read.push(next.value);
    length += next.value.length;
  }
  async function* all(): AsyncGenerator<Uint8Array, void, void> {
    try {
      yield* read;
      for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) yield next.value;
    } finally {
      await iterator.return?.();
    }
  }
  return { start: Buffer.concat(read, length).subarray(0, bytes), all: all() };
}

function isModule(start: Buffer): boolean {
  return start.toString("latin1", 0, 4) === "\0asm";
}

function isGzip(start: Buffer): boolean {
  return start.length > 2 && start[0] === 0x1f && start[1] === 0x8b;
}

function isTar(start: Buffer): boolean {
  return start.toString("latin1", USTAR.at) === USTAR.text;
}

async function* gunzipped(pieces: Pieces): AsyncGenerator<Uint8Array, void, void> {
  const { createGunzip } = await import("node:zlib");
  const gunzip = createGunzip();
  const packed = Readable.from(pieces);
  packed.once("error", (error) => gunzip.destroy(error));
  try {
    yield* packed.pipe(gunzip);
  } finally {
    packed.destroy();
  }
}

/** The content of one file of a tar. */
async function* fileOfTar(pieces: Pieces, isWanted: (name: string) => boolean): AsyncGenerator<Uint8Array, void, void> {
  const { extract } = await import("tar-stream");
  const tar = extract();
  const source = Readable.from(pieces);
  source.once("error", (error) => tar.destroy(error));
  source.pipe(tar);
  try {
    for await (const entry of tar) {
      if (entry.header.type === "file" && isWanted(entry.header.name)) return yield* entry as AsyncIterable<Uint8Array>;
      entry.resume();
    }
  } finally {
    source.destroy();
  }
  throw new Error("plugin.wasm not found in the archive");
}
