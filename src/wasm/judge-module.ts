import type { FileHandle } from "node:fs/promises";

const MAGIC = Buffer.from([0x00, 0x61, 0x73, 0x6d]);
const HEADER_BYTES = 8;
const LONGEST_SIZE_BYTES = 5;
/** Compilers write a few dozen; each one is a read. */
const MOST_SECTIONS = 10_000;

/**
 * Why a file is no Wasm module: it does not begin like one, or a section says that it is longer than what is left of the
 * file. Undefined when it may be one; Envoy alone knows the rest. Source: WebAssembly specification, "Binary Format", Modules.
 */
export async function judgeModule(file: FileHandle): Promise<string | undefined> {
  const { size } = await file.stat();
  const header = await bytesAt(file, 0, HEADER_BYTES);
  if (header.length < HEADER_BYTES || !header.subarray(0, MAGIC.length).equals(MAGIC)) {
    return `it does not begin as a Wasm module does, but with ${describeStart(header)}`;
  }
  if (header.readUInt32LE(MAGIC.length) !== 1) return undefined;
  for (let [at, sections] = [HEADER_BYTES, 0]; at < size; sections++) {
    if (sections === MOST_SECTIONS) return `it has more than ${MOST_SECTIONS} sections`;
    const sizeAt = at + 1;
    const section = readSize(await bytesAt(file, sizeAt, LONGEST_SIZE_BYTES));
    if (section === undefined) return undefined;
    at = sizeAt + section.width + section.value;
    if (at > size) return `it is cut off: a section ends at byte ${at}, the file at ${size}`;
  }
  return undefined;
}

async function bytesAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, position);
  return buffer.subarray(0, bytesRead);
}

/** An unsigned LEB128; undefined when it does not end. */
function readSize(bytes: Buffer): { readonly value: number; readonly width: number } | undefined {
  let value = 0;
  for (const [at, byte] of bytes.entries()) {
    value += (byte & 0x7f) * 2 ** (7 * at);
    if (byte < 0x80) return { value, width: at + 1 };
  }
  return undefined;
}

function describeStart(bytes: Buffer): string {
  if (bytes.length === 0) return "nothing: it is empty";
  const text = bytes.toString("latin1");
  return /^[\x20-\x7e\s]+$/.test(text) ? JSON.stringify(text) : bytes.toString("hex");
}
