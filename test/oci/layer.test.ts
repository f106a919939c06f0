import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as zlib from "node:zlib";
import { describe, expect, onTestFinished, test } from "vitest";
import { describeError } from "../../src/base/index.ts";
import { searchLayer } from "../../src/oci/layer.ts";
import { type Entry, makeTar, sha256Digest } from "../support/make-image.ts";

const PATH = "usr/local/bin/envoy";
const never = new AbortController().signal;

async function search(tar: Buffer, { packed = tar, diffId = sha256Digest(tar), mostBytes = 1_000 } = {}) {
  const folder = await mkdtemp(join(tmpdir(), "pb-layer-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const [file, target] = [join(folder, "layer"), join(folder, "target")];
  await writeFile(file, packed);
  const found = await searchLayer({ file, path: PATH, target, mostBytes, diffId, stop: never });
  return { found, target };
}

async function searchEntries(...entries: readonly Entry[]) {
  const { found, target } = await search(await makeTar(entries));
  return found.kind === "file" ? readFile(target, "utf8") : found;
}

const failure = (work: Promise<unknown>): Promise<string> => work.then(() => "it did not fail", describeError);

describe("where the file is", () => {
  test.each([PATH, `/${PATH}`, `./${PATH}`, "usr//local/./bin/envoy"])("%s", async (name) => {
    const others = [
      { name: "usr/local/bin/envoy2", content: "no" },
      { name: "usr/local/bin", type: "directory" as const },
    ];
    expect(await searchEntries(...others, { name, content: "yes" }, { name: "z", content: "no" })).toBe("yes");
  });

  test("a later entry replaces an earlier one, whatever it is", async () => {
    expect(await searchEntries({ name: PATH, content: "longer" }, { name: PATH, content: "last" })).toBe("last");
    expect(
      await searchEntries({ name: PATH, content: "a" }, { name: PATH, type: "symlink", linkname: "x" }),
    ).toMatchObject({ kind: "other" });
  });

  test("an empty file, a file under a long name's neighbour, and one of many blocks come whole", async () => {
    expect(await searchEntries({ name: PATH, content: "" })).toBe("");
    expect(
      await searchEntries({ name: `${"d/".repeat(150)}x`, content: "no" }, { name: PATH, content: "ä".repeat(300) }),
    ).toBe("ä".repeat(300));
  });

  test("a hard link is followed within the layer", async () => {
    expect(
      await searchEntries({ name: "opt/e", content: "yes" }, { name: PATH, type: "link", linkname: "/opt/e" }),
    ).toBe("yes");
    expect(await failure(searchEntries({ name: PATH, type: "link", linkname: "opt/e" }))).toBe(
      `"${PATH}" is a hard link to "opt/e", which is no file of the same layer`,
    );
    const circle = searchEntries(
      { name: "a", type: "link", linkname: PATH },
      { name: PATH, type: "link", linkname: "a" },
    );
    expect(await failure(circle)).toContain('a hard link to "a"');
  });
});

describe("where it is not", () => {
  test.each<[string, Entry[], object]>([
    ["nothing of it", [{ name: "etc/passwd", content: "x" }], { kind: "absent" }],
    ["its whiteout", [{ name: "usr/local/bin/.wh.envoy" }], { kind: "removed" }],
    ["a whiteout of a folder above", [{ name: "usr/.wh.local" }], { kind: "removed" }],
    ["a folder above that hides what is below", [{ name: "usr/local/.wh..wh..opq" }], { kind: "removed" }],
    [
      "whiteouts of others",
      [{ name: "usr/local/bin/.wh.envoy2" }, { name: "usr/local/bin/envoy/.wh.x" }, { name: "opt/.wh..wh..opq" }],
      { kind: "absent" },
    ],
    [
      "a symbolic link",
      [{ name: PATH, type: "symlink", linkname: "/etc/shadow" }],
      { kind: "other", at: PATH, what: 'a symbolic link to "/etc/shadow"' },
    ],
    [
      "a link in the place of a folder",
      [{ name: "usr/local", type: "symlink", linkname: "../opt" }],
      { kind: "other", at: "usr/local", what: 'a symbolic link to "../opt"' },
    ],
    ["a file in the place of a folder", [{ name: "usr", content: "x" }], { kind: "other", at: "usr", what: "a file" }],
    ["a folder", [{ name: PATH, type: "directory" }], { kind: "other", at: PATH, what: "a directory" }],
    [
      "a device",
      [{ name: PATH, type: "character-device", devmajor: 1, devminor: 3 }],
      { kind: "other", at: PATH, what: "a character device" },
    ],
    ["a sparse file", [{ name: PATH, content: "x", pax: { "GNU.sparse.major": "1" } }], { kind: "other", at: PATH }],
  ])("%s", async (_, entries, wanted) => {
    expect(await searchEntries(...entries)).toMatchObject(wanted);
  });

  test("the layer's own file stays beside a whiteout, which is for the layers below", async () => {
    expect(await searchEntries({ name: PATH, content: "new" }, { name: "usr/local/bin/.wh..wh..opq" })).toBe("new");
    expect(await searchEntries({ name: "usr/local/bin/.wh.envoy" }, { name: PATH, content: "new" })).toBe("new");
  });
});

describe("hostile: what a layer may be", () => {
  test.each(["../usr/local/bin/envoy", "usr/../usr/local/bin/envoy", "/../../etc/cron.d/x", "a/.."])(
    "an entry %s refuses it",
    async (name) => {
      expect(await failure(searchEntries({ name, content: "x" }))).toBe(
        `it has an entry "${name}", which leads out of the image`,
      );
    },
  );

  test("a hard link that leads out of the image refuses it", async () => {
    expect(await failure(searchEntries({ name: PATH, type: "link", linkname: "../../etc/shadow" }))).toContain(
      "leads out of the image",
    );
  });

  test("a larger file than is possible is not begun", async () => {
    const tar = await makeTar([{ name: PATH, content: "x".repeat(1_001) }]);
    expect(await failure(search(tar))).toContain("has 1001 bytes, at most 1000 are possible");
  });

  test("a layer that is cut off, no tar, damaged or another one is refused", async () => {
    const tar = await makeTar([{ name: PATH, content: "x".repeat(900) }]);
    const gzip = zlib.gzipSync(tar);
    expect(await failure(search(tar, { packed: gzip.subarray(0, -20) }))).toContain("it is damaged");
    expect(
      await failure(
        search(tar, { packed: Buffer.concat([gzip.subarray(0, 30), Buffer.from("noise"), gzip.subarray(35)]) }),
      ),
    ).toContain("it is damaged");
    expect(await failure(search(tar.subarray(0, 700)))).toContain("it is damaged");
    expect(await failure(search(Buffer.from("no tar at all".repeat(100))))).toContain("it is damaged");
    expect(await failure(search(tar, { diffId: sha256Digest("other") }))).toMatch(
      /^unpacked its digest is sha256:\w+, wanted sha256:/,
    );
  });

  test("an empty layer has nothing", async () => {
    expect((await search(Buffer.alloc(0))).found).toEqual({ kind: "absent" });
    expect((await search(Buffer.alloc(1_024))).found).toEqual({ kind: "absent" });
  });
});

test("gzip of several members and no packing at all are known by their first bytes", async () => {
  const tar = await makeTar([{ name: PATH, content: "yes" }]);
  const members = Buffer.concat([zlib.gzipSync(tar.subarray(0, 600)), zlib.gzipSync(tar.subarray(600))]);
  for (const packed of [tar, members]) expect((await stat((await search(tar, { packed })).target)).size).toBe(3);
});

test("zstd is unpacked where the runtime can, and else refused with what to take", async () => {
  const tar = await makeTar([{ name: PATH, content: "yes" }]);
  // a frame with one raw block and without a checksum: RFC 8878 section 3.1.1
  const head = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 0]);
  head.writeUInt32LE(tar.length, 5);
  const block = Buffer.alloc(3);
  block.writeUIntLE((tar.length << 3) | 1, 0, 3);
  const packed = Buffer.concat([head, block, tar]);
  const work = search(tar, { packed });
  if ("createZstdDecompress" in zlib) expect(await readFile((await work).target, "utf8")).toBe("yes");
  else
    expect(await failure(work)).toBe(
      "it is packed with zstd, which this version of Node does not know: take 22.15 or newer, or the executable",
    );
});
