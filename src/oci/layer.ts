import { createReadStream, createWriteStream } from "node:fs";
import { open } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import * as zlib from "node:zlib";
import { extract, type Header } from "tar-stream";
import { startDigest } from "./digest.ts";

/** What a layer has to say about a path. */
export type InLayer =
  | { readonly kind: "file" }
  /** It has no entry for it: a lower layer may. */
  | { readonly kind: "absent" }
  /** It takes away what lower layers have there. */
  | { readonly kind: "removed" }
  /** The path itself, or a folder on the way to it, is a link or something else that is no file. */
  | { readonly kind: "other"; readonly at: string; readonly what: string };

export interface LayerSearch {
  /** The layer as it came: a tar, packed with gzip or zstd or not at all. */
  readonly file: string;
  /** In the image, without a slash in front: `usr/local/bin/envoy`. */
  readonly path: string;
  /** Where a copy of it goes. */
  readonly target: string;
  readonly mostBytes: number;
  /** Of the tar. */
  readonly diffId: string;
  readonly stop: AbortSignal;
}

/** An image that was made with care for us to stumble, or without any. The message is half a sentence. */
export class BadLayer extends Error {
  override readonly name = "BadLayer";
}

/** The tar is not what the image's configuration says. */
export class WrongDiffId extends Error {
  override readonly name = "WrongDiffId";
}

/**
 * Copies one file out of a layer, which is read to its end: a later entry replaces an earlier one, and its digest is that of
 * the whole. Nothing is written but `target`, whatever the entries are called. A hard link within the layer is followed.
 * Rejects with a BadLayer, a WrongDiffId, or a system error of the disk. Source: OCI image-spec, layer.md.
 */
export async function searchLayer(search: LayerSearch): Promise<InLayer> {
  const found = await scan(search, search.path);
  if (found.kind !== "link") return found;
  const linked = await scan(search, found.to);
  if (linked.kind === "file") return linked;
  throw new BadLayer(`"${search.path}" is a hard link to "${found.to}", which is no file of the same layer`);
}

type Scanned = InLayer | { readonly kind: "link"; readonly to: string };

const READ_BYTES = 256 * 1_024;
const MOST_TAR_BYTES = 16 * 2 ** 30; // what unpacks to more was packed to fill time
const WHITEOUT = ".wh.";
const OPAQUE = ".wh..wh..opq";

async function scan(search: LayerSearch, path: string): Promise<Scanned> {
  const state = new PathInLayer(path);
  const tar = extract();
  const reading = (async () => {
    for await (const entry of tar) {
      const isWanted = state.visit(entry.header);
      if (isWanted) await copy(entry, entry.header, search);
      else entry.resume();
    }
  })();
  const writing = pipeline(await openTar(search), tar, { signal: search.stop });
  const [read, written] = await Promise.allSettled([reading, writing]);
  if (read.status === "rejected") throw explain(read.reason);
  if (written.status === "rejected") throw explain(written.reason);
  return state.result();
}

/** What the entries that have been seen say about one path. */
class PathInLayer {
  readonly #path: string;
  /** The folders on the way. */
  readonly #parents: readonly string[];
  readonly #whiteouts: ReadonlySet<string>;
  #own: Scanned = { kind: "absent" };
  #isRemoved = false;
  /** A folder on the way that is none. */
  #inTheWay: InLayer | undefined;

  constructor(path: string) {
    const parts = path.split("/");
    const upTo = (count: number): string => parts.slice(0, count).join("/");
    const beside = (count: number, name: string): string => [...parts.slice(0, count), name].join("/");
    this.#path = path;
    this.#parents = parts.slice(1).map((_, at) => upTo(at + 1));
    this.#whiteouts = new Set(parts.flatMap((part, at) => [beside(at, `${WHITEOUT}${part}`), beside(at, OPAQUE)]));
  }

  /** Whether the entry is the wanted file. */
  visit(header: Header): boolean {
    const name = plainName(header.name);
    if (this.#whiteouts.has(name)) this.#isRemoved = true;
    if (this.#parents.includes(name)) {
      this.#inTheWay = header.type === "directory" ? undefined : { kind: "other", at: name, what: whatIs(header) };
    }
    if (name !== this.#path) return false;
    this.#own = ownOf(header, name);
    return this.#own.kind === "file";
  }

  result(): Scanned {
    if (this.#inTheWay !== undefined) return this.#inTheWay;
    if (this.#own.kind !== "absent") return this.#own;
    return this.#isRemoved ? { kind: "removed" } : this.#own;
  }
}

function ownOf(header: Header, at: string): Scanned {
  if (header.type === "file" || header.type === "contiguous-file") {
    const isSparse = Object.keys(header.pax ?? {}).some((key) => key.startsWith("GNU.sparse."));
    return isSparse ? { kind: "other", at, what: "a sparse file, which this reader does not know" } : { kind: "file" };
  }
  if (header.type === "link") return { kind: "link", to: plainName(header.linkname) };
  return { kind: "other", at, what: whatIs(header) };
}

function whatIs({ type, linkname }: Header): string {
  if (type === "symlink") return `a symbolic link to "${linkname}"`;
  return `a ${(type ?? "thing of an unknown type").replace("-", " ")}`;
}

/** Entries are named from the root of the image, with or without `./` or `/` in front. */
function plainName(name: string): string {
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) throw new BadLayer(`it has an entry "${name}", which leads out of the image`);
  return parts.join("/");
}

async function copy(entry: AsyncIterable<unknown>, { name, size }: Header, search: LayerSearch): Promise<void> {
  const { target, mostBytes, stop } = search;
  if (size > mostBytes) throw new BadLayer(`"${name}" has ${size} bytes, at most ${mostBytes} are possible`);
  await pipeline(entry as AsyncIterable<Buffer>, createWriteStream(target), { signal: stop });
}

/** The bytes of the tar, whose digest is compared at the end. */
async function openTar({ file, diffId, stop }: LayerSearch): Promise<Readable> {
  const packed = createReadStream(file, { highWaterMark: READ_BYTES });
  const unpacker = unpackerFor(await firstBytes(file));
  const digesting = startDigest(diffId);
  async function* whole(): AsyncGenerator<Buffer, void, void> {
    let bytes = 0;
    const pieces = unpacker === undefined ? packed : packed.pipe(unpacker);
    packed.once("error", (error) => unpacker?.destroy(error));
    try {
      for await (const piece of pieces) {
        stop.throwIfAborted();
        bytes += (piece as Buffer).length;
        if (bytes > MOST_TAR_BYTES) throw new BadLayer(`it unpacks to more than ${MOST_TAR_BYTES} bytes`);
        digesting.update(piece as Buffer);
        yield piece as Buffer;
      }
    } finally {
      packed.destroy();
    }
    const found = digesting.finish();
    if (found !== diffId) throw new WrongDiffId(`unpacked its digest is ${found}, wanted ${diffId}`);
  }
  return Readable.from(whole());
}

const GZIP = "1f8b";
const ZSTD = "28b52ffd";

async function firstBytes(file: string): Promise<string> {
  await using handle = await open(file);
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(4), 0, 4, 0);
  return buffer.toString("hex", 0, bytesRead);
}

/** Known by its first bytes, as container runtimes do; the media type may say less. Undefined for what is not packed. */
function unpackerFor(magic: string): (NodeJS.ReadWriteStream & { destroy(error?: Error): void }) | undefined {
  if (magic.startsWith(GZIP)) return zlib.createGunzip({ chunkSize: READ_BYTES });
  if (magic !== ZSTD) return undefined;
  const { createZstdDecompress } = zlib as { createZstdDecompress?: (options: object) => zlib.Gunzip };
  if (createZstdDecompress !== undefined) return createZstdDecompress({ chunkSize: READ_BYTES });
  throw new BadLayer(
    "it is packed with zstd, which this version of Node does not know: take 22.15 or newer, or the executable",
  );
}

/** What is neither ours nor the disk's is about the layer: zlib and the tar reader throw Errors of their own. */
function explain(error: unknown): unknown {
  if (error instanceof BadLayer || error instanceof WrongDiffId) return error;
  if (error instanceof Error && ("syscall" in error || error.name === "AbortError")) return error;
  return new BadLayer("it is damaged", { cause: error });
}
