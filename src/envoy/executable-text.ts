import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";

/** What Linux and macOS run without an interpreter: ELF, and Mach-O in its four forms. */
const BINARY_MAGICS: ReadonlySet<string> = new Set(["7f454c46", "feedface", "feedfacf", "cefaedfe", "cffaedfe"]);
const CHUNK_BYTES = 4 * 1_024 * 1_024;

/**
 * Whether a compiled program contains a text, such as the package of a message that it would have to know. Undefined for a
 * script, which may start anything. Takes some 100 ms for an Envoy. Rejects when the file cannot be read.
 */
export async function executableContains(path: string, text: string): Promise<boolean | undefined> {
  if (!(await isCompiled(path))) return undefined;
  const wanted = Buffer.from(text);
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of createReadStream(path, { highWaterMark: CHUNK_BYTES })) {
    const bytes = Buffer.concat([rest, chunk as Buffer]);
    if (bytes.includes(wanted)) return true;
    rest = bytes.subarray(-(wanted.length - 1)); // it may begin in one chunk and end in the next
  }
  return false;
}

async function isCompiled(path: string): Promise<boolean> {
  await using file = await open(path);
  const { buffer } = await file.read(Buffer.alloc(4), 0, 4, 0);
  return BINARY_MAGICS.has(buffer.toString("hex"));
}
