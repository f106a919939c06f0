import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { expect, test } from "vitest";
import { type SpawnOptions, spawnEnvoy } from "../../../src/envoy/supervisor/child.ts";
import { outputSource } from "../../support/output.ts";

const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });

function script(text: string, more: Partial<SpawnOptions> = {}): SpawnOptions {
  return {
    binary: "/bin/sh",
    args: ["-c", text],
    cwd: "/",
    env: { PATH: process.env.PATH },
    runAs: undefined,
    setpriv: undefined,
    output: outputSource(),
    stdout: nowhere,
    stderr: nowhere,
    ...more,
  };
}

test("the end is told although nobody reads the output", async () => {
  const stuck = new Writable({ highWaterMark: 1, write: () => undefined });
  const child = await spawnEnvoy(script("head -c 1000000 /dev/zero; exit 3", { stdout: stuck }));
  child.kill("SIGKILL");
  expect(await child.ended).toEqual({ kind: "signal", signal: "SIGKILL" });
});

test("the last lines are read before the end is told", async () => {
  const child = await spawnEnvoy(script("echo first >&2; echo last >&2; exit 3"));
  expect(await child.ended).toEqual({ kind: "code", code: 3 });
  expect(child.lastLines()).toEqual(["first", "last"]);
});

test("a working folder that is gone is named", async () => {
  const cwd = await mkdtemp(join(tmpdir(), "pb-child-"));
  await rm(cwd, { recursive: true });
  await expect(spawnEnvoy(script("exit 0", { cwd }))).rejects.toMatchObject({
    code: "ENVOY_START_FAILED",
    message: `Cannot start Envoy "/bin/sh": its working folder "${cwd}" is gone`,
  });
});
