import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
// @ts-expect-error a plain script without types
import { layoutIn } from "../../scripts/image/layout.mjs";
import { sha256Digest } from "../support/make-image.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-layout-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const FILE = { name: "/usr/bin/one", type: "file", mode: 0o755, content: Buffer.from("one") };
const LINK = { name: "/bin", type: "symlink", mode: 0o777, linkname: "usr/bin" };

test("the same entries in another order give the same layer", async () => {
  const one = await layoutIn(join(folder, "one")).addLayer([FILE, LINK], 0);
  const other = await layoutIn(join(folder, "other")).addLayer([LINK, FILE], 0);
  expect(other).toEqual(one);
});

test("every blob has the digest that names it, and nothing else is left", async () => {
  const layout = layoutIn(folder);
  const layers = [await layout.addLayer([FILE, LINK], 0)];
  const config = { architecture: "amd64", os: "linux", config: {} };
  const image = layout.addImage({ layers, config, labels: { "org.opencontainers.image.title": "x" } });
  const manifest = layout.finish([image], "v1");
  const blobs = await readdir(join(folder, "blobs/sha256"));
  expect(blobs).toHaveLength(3);
  for (const name of blobs) {
    expect(sha256Digest(await readFile(join(folder, "blobs/sha256", name)))).toBe(`sha256:${name}`);
  }
  expect((await readdir(folder)).sort()).toEqual(["blobs", "index.json", "oci-layout"]);
  const index = JSON.parse(await readFile(join(folder, "index.json"), "utf8"));
  expect(index.manifests).toMatchObject([{ ...manifest, platform: { architecture: "amd64", os: "linux" } }]);
});

test("images for several platforms are one tag", async () => {
  const layout = layoutIn(folder);
  const layers = [await layout.addLayer([FILE], 0)];
  const images = ["amd64", "arm64"].map((architecture) =>
    layout.addImage({ layers, config: { architecture, os: "linux", config: {} }, labels: {} }),
  );
  const { digest } = layout.finish(images, "v1");
  const index = JSON.parse(await readFile(join(folder, "index.json"), "utf8"));
  expect(index.manifests).toMatchObject([{ digest, annotations: { "org.opencontainers.image.ref.name": "v1" } }]);
  const nested = JSON.parse(await readFile(join(folder, "blobs", digest.replace(":", "/")), "utf8"));
  expect(nested.manifests).toEqual(images);
  expect(images.map(({ platform }) => platform.architecture)).toEqual(["amd64", "arm64"]);
});
