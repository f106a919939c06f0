import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { newestLts } from "../support/newest-lts.ts";
import { type Runtime, run, start } from "../support/pilotboat.ts";
import { realEnvoy } from "../support/real-envoy.ts";

const lts = newestLts();

describe.skipIf(lts === undefined)(`${lts?.name ?? "left out, npm cannot have it"}`, () => {
  const runtime = lts as Runtime;
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "pb-lts-"));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  test("a mesh of one starts, answers and ends", { timeout: 60_000 }, async () => {
    await realEnvoy();
    await using up = start(runtime, ["up"], { cwd: folder });
    const [, url = ""] = await up.waitFor(/curl (http:\/\/\S+)/);
    expect((await fetch(url)).status).toBe(200);
    up.kill("SIGINT");
    expect((await up.ended).code).toBe(0);
  });

  describe("compiled code", () => {
    const cache = (): string => join(folder, "pilotboat");
    const version = () => run(runtime, ["version"], { env: { XDG_CACHE_HOME: folder } });
    const loadsMore = () => run(runtime, ["config", "node"], { env: { XDG_CACHE_HOME: folder } });

    test("is kept in the cache folder, and a damaged entry does no harm", async () => {
      await mkdir(cache(), { mode: 0o755 });
      const first = await loadsMore();
      const kept = (await readdir(cache(), { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
      expect(kept.length).toBeGreaterThan(3);
      for (const { parentPath, name } of kept) await writeFile(join(parentPath, name), "no code");
      expect(await loadsMore()).toEqual(first);
    });

    test("is not kept where there is no cache folder yet", async () => {
      expect((await version()).code).toBe(0);
      expect(await readdir(folder)).toEqual([]);
    });

    test("is neither kept nor taken where others can write", async () => {
      await mkdir(cache());
      await chmod(cache(), 0o777);
      expect((await loadsMore()).code).toBe(0);
      expect(await readdir(cache())).toEqual([]);
    });
  });
});
