import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { extractZipEntry } from "../../../src/envoy/binary/zip.ts";
import { makeZip, type ZipFile } from "../../support/make-zip.ts";

const BIG = Buffer.concat([Buffer.alloc(300_000, "envoy "), randomBytes(200_000)]);

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-zip-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function extract(archive: Buffer, name = "big", stop = new AbortController().signal): Promise<Buffer> {
  const path = join(folder, "archive.zip");
  const target = join(folder, "target");
  await writeFile(path, archive);
  await extractZipEntry({ archive: path, name, target, stop });
  return readFile(target);
}

const zipOf = (big: Partial<ZipFile>): Buffer =>
  makeZip([
    { name: "first", content: Buffer.from("first") },
    { name: "big", content: BIG, ...big },
    { name: "last", content: Buffer.from("last") },
  ]);

test.each(["stored", "deflated"] as const)("a %s file comes out as it went in", async (method) => {
  expect((await extract(zipOf({ method }))).equals(BIG)).toBe(true);
});

test.each(["stored", "deflated"] as const)("an empty %s file comes out empty", async (method) => {
  expect(await extract(zipOf({ method, content: Buffer.alloc(0) }))).toHaveLength(0);
});

test("the archive's own comment may be as long as the format allows", async () => {
  const archive = makeZip([{ name: "big", content: BIG }], "x".repeat(65_535));
  expect((await extract(archive)).equals(BIG)).toBe(true);
});

test.each(["stored", "deflated"] as const)(
  "a %s file whose CRC or length is another one is refused",
  async (method) => {
    await expect(extract(zipOf({ method, crc32: 1 }))).rejects.toThrow('"big" in the archive is damaged');
    await rm(join(folder, "target"));
    await expect(extract(zipOf({ method, bytes: 1 }))).rejects.toThrow('"big" in the archive is damaged');
  },
);

test("a flipped bit inside is noticed", async () => {
  const archive = zipOf({});
  archive.writeUInt8(archive.readUInt8(100_000) ^ 1, 100_000);
  await expect(extract(archive)).rejects.toThrow('"big" in the archive is damaged');
});

test("an archive without its end says that it was cut off", async () => {
  await expect(extract(zipOf({}).subarray(0, 100_000))).rejects.toThrow("is truncated or not a zip");
  await expect(extract(Buffer.alloc(0))).rejects.toThrow("is truncated or not a zip");
});

test("a directory beyond the end or pointing nowhere is refused", async () => {
  const archive = zipOf({});
  const end = archive.lastIndexOf(Buffer.from("PK\u0005\u0006"));
  const beyond = Buffer.from(archive);
  beyond.writeUInt32LE(archive.length, end + 16);
  await expect(extract(beyond)).rejects.toThrow("directory lies beyond its end");
  const nowhere = Buffer.from(archive);
  nowhere.writeUInt32LE(1, nowhere.lastIndexOf("big") - 4);
  await expect(extract(nowhere)).rejects.toThrow('"big" is not where the archive says');
});

test("what is not in the archive is named", async () => {
  await expect(extract(zipOf({}), "other")).rejects.toThrow('the archive has no "other"');
});

test("ZIP64, encryption and other compressions are named as such", async () => {
  await expect(extract(zipOf({ bytes: 0xffff_ffff }))).rejects.toThrow("ZIP64");
  await expect(extract(zipOf({ flags: 1 }))).rejects.toThrow('"big" in the archive is encrypted');
  const archive = zipOf({});
  archive.writeUInt16LE(12, archive.lastIndexOf("big") - 36);
  await expect(extract(archive)).rejects.toThrow("compressed by method 12, wanted 0 or 8");
});

test("a stop ends the unpacking", async () => {
  await expect(extract(zipOf({}), "big", AbortSignal.abort())).rejects.toThrow("abort");
});
