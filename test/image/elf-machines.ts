import { createReadStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { extract } from "tar-stream";

/** The processors of the programs and libraries in a layer, each once: `e_machine` of their ELF headers. */
export async function findElfMachines(layer: string): Promise<readonly number[]> {
  const found = new Set<number>();
  const tar = extract();
  tar.on("entry", (_, stream, next) => {
    let head: Buffer | undefined;
    stream.on("data", (piece) => {
      head ??= piece as Buffer;
    });
    stream.on("end", () => {
      if (head?.subarray(0, 4).toString("latin1") === "\u007fELF") found.add(head.readUInt16LE(18));
      next();
    });
  });
  await pipeline(createReadStream(layer), createGunzip(), tar);
  return [...found];
}
