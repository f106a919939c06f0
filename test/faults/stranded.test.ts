import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";

/** A test that passes and leaves a process in a folder that is gone. */
const LEAVING = (env: string): string => `
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "vitest";

test("passes", async () => {
  const cwd = mkdtempSync(tmpdir() + "/pb-left-");
  const left = spawn("sleep", ["20"], { cwd, detached: true, stdio: "ignore", env: ${env} });
  await once(left, "spawn");
  left.unref();
  rmSync(cwd, { recursive: true });
});
`;

test.runIf(process.platform === "linux").each([
  ["fails when it leaves a process behind", "process.env", 1, /This run left processes behind in folders of tests: \d/],
  ["passes when that may be another run's", "{}", 0, /of this run or of another one: \d/],
  ["passes when that is another run's", '{ PB_TEST_RUN: "another" }', 0, /1 passed/],
])(
  "a run of tests %s, also where CI is not set",
  async (_what, env, code, said) => {
    const root = await mkdtemp(join(tmpdir(), "pb-stranded-"));
    await writeFile(join(root, "leaving.test.ts"), LEAVING(env));
    const config = `
    export default {
      test: { include: ["*.test.ts"], globalSetup: [${JSON.stringify(resolve("test/support/global-setup.ts"))}] },
    };`;
    await writeFile(join(root, "vitest.config.mjs"), config);
    const { CI: _ci, ...rest } = process.env;
    const words = [resolve("node_modules/vitest/vitest.mjs"), "run", "--root", root];
    const run = spawn(process.execPath, words, { env: rest, stdio: ["ignore", "pipe", "pipe"] });
    let text = "";
    for (const stream of [run.stdout, run.stderr]) stream.setEncoding("utf8").on("data", (more) => (text += more));
    const [ended] = await once(run, "close");
    await rm(root, { recursive: true, force: true });
    expect({ ended, text }).toEqual({ ended: code, text: expect.stringMatching(said) });
  },
  120_000,
);
