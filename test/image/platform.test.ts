import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { execPath } from "node:process";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { findElfMachines } from "./elf-machines.ts";

const build = (...words: readonly string[]) =>
  promisify(execFile)(execPath, ["scripts/build-image.mjs", ...words], { timeout: 300_000 });

test("a platform that nothing is published for is refused", async () => {
  await expect(build("--platform", "linux/s390x")).rejects.toMatchObject({
    code: 1,
    stderr: 'Cannot build for "linux/s390x", wanted linux/amd64 or linux/arm64\n',
  });
});

const isArm = process.arch === "arm64";
const other = isArm ? "amd64" : "arm64";
const executable = `dist/pilotboat-${other}`;

test.skipIf(existsSync(executable))("without an executable for it, the image says how one is made", async () => {
  await expect(build("--platform", `linux/${other}`)).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringContaining(`npm run build:executable -- --platform linux/${other}`),
  });
});

const made = `npm run build:executable -- --platform linux/${other} makes it, 52 MB to download`;
test.skipIf(!existsSync(executable))(
  `one tag has both processors (needs ${executable}: ${made})`,
  async () => {
    await build("--platform", "linux/amd64,linux/arm64", "distroless");
    const layout = "dist/image/distroless-amd64-arm64";
    const read = async ({ digest }: { digest: string }) =>
      JSON.parse(await readFile(join(layout, "blobs", digest.replace(":", "/")), "utf8"));
    const index = JSON.parse(await readFile(join(layout, "index.json"), "utf8"));
    const { manifests } = await read(index.manifests[0]);
    for (const [at, [architecture, machine]] of [["amd64", 62] as const, ["arm64", 183] as const].entries()) {
      expect(manifests[at].platform).toEqual({ architecture, os: "linux" });
      const { config, layers } = await read(manifests[at]);
      expect((await read(config)).architecture).toBe(architecture);
      for (const { digest } of layers) {
        expect(await findElfMachines(join(layout, "blobs", digest.replace(":", "/")))).toEqual([machine]);
      }
    }
  },
  300_000,
);
