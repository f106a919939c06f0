import { crc32, deflateRawSync } from "node:zlib";

export interface ZipFile {
  readonly name: string;
  readonly content: Buffer;
  readonly method?: "stored" | "deflated";
  readonly flags?: number;
  /** What the archive claims; default: the truth. */
  readonly crc32?: number;
  readonly bytes?: number;
}

/** A zip archive after PKWARE's APPNOTE, with an extra field and a comment so that readers have to respect both. */
export function makeZip(files: readonly ZipFile[], comment = "made by a test"): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const file of files) {
    const packed = file.method === "stored" ? file.content : deflateRawSync(file.content);
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    writeFacts(local, 6, file, packed);
    const extra = Buffer.from([0xfe, 0xca, 2, 0, 1, 2]);
    local.writeUInt16LE(extra.length, 28);
    const central = Buffer.alloc(46);
    central.writeUInt32LE(0x02014b50, 0);
    writeFacts(central, 8, file, packed);
    central.writeUInt32LE(offset, 42);
    parts.push(local, Buffer.from(file.name), extra, packed);
    directory.push(central, Buffer.from(file.name));
    offset = Buffer.concat(parts).length;
  }
  return Buffer.concat([...parts, ...directory, endRecord(offset, Buffer.concat(directory).length, files, comment)]);
}

/** Flags, method, CRC, sizes and the name's length lie in the same order in both headers. */
function writeFacts(header: Buffer, at: number, file: ZipFile, packed: Buffer): void {
  header.writeUInt16LE(file.flags ?? 0, at);
  header.writeUInt16LE(file.method === "stored" ? 0 : 8, at + 2);
  header.writeUInt32LE(file.crc32 ?? crc32(file.content), at + 8);
  header.writeUInt32LE(packed.length, at + 12);
  header.writeUInt32LE(file.bytes ?? file.content.length, at + 16);
  header.writeUInt16LE(Buffer.byteLength(file.name), at + 20);
}

function endRecord(offset: number, bytes: number, files: readonly ZipFile[], comment: string): Buffer {
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(files.length, 8);
  end.writeUInt16LE(files.length, 10);
  end.writeUInt32LE(bytes, 12);
  end.writeUInt32LE(offset, 16);
  end.writeUInt16LE(Buffer.byteLength(comment), 20);
  return Buffer.concat([end, Buffer.from(comment)]);
}
