import { open } from "node:fs/promises";
import type { Descriptor } from "./manifest.ts";
import type { ImageReference } from "./reference.ts";
import type { Registry } from "./registry.ts";

/** A small blob in memory. The caller has looked at its size. Rejects as `streamBlob` does. */
export async function readBlob(
  registry: Registry,
  reference: ImageReference,
  blob: Descriptor,
  stop: AbortSignal,
): Promise<Buffer> {
  const pieces: Buffer[] = [];
  await registry.streamBlob(reference, blob, (piece) => void pieces.push(piece), stop);
  return Buffer.concat(pieces);
}

export interface SaveOptions {
  readonly blob: Descriptor;
  /** Path of a file that does not exist yet. It is there, unverified, also when this rejects. */
  readonly file: string;
  /** Called with each piece's length. */
  readonly onBytes?: ((bytes: number) => void) | undefined;
}

/** Writes a blob to disk, a piece at a time. Rejects as `streamBlob` does, and with a system error of the disk. */
export async function saveBlob(
  registry: Registry,
  reference: ImageReference,
  { blob, file, onBytes }: SaveOptions,
  stop: AbortSignal,
): Promise<void> {
  await using target = await open(file, "wx");
  const sink = async (piece: Buffer): Promise<void> => {
    await target.appendFile(piece);
    onBytes?.(piece.length);
  };
  await registry.streamBlob(reference, blob, sink, stop);
}
