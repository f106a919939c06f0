import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { validateConfig } from "../../src/envoy/index.ts";
import { findSetpriv } from "../../src/host/index.ts";
import { outputSource } from "../support/output.ts";
import { isAlive } from "../support/processes.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-validate-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const never = new AbortController().signal;
const PROGRAM = "/bin/sh";

/** A shell in Envoy's place; what is asked of it comes after its own words. */
async function asked(script: string, setpriv?: string) {
  const binary = join(folder, "envoy");
  await writeFile(binary, `#!${PROGRAM}\necho $$ > pid\n${script}\n`, { mode: 0o755 });
  return {
    binary,
    args: ["-c", "x.json"],
    cwd: folder,
    env: { PATH: process.env.PATH },
    runAs: undefined,
    setpriv,
    output: outputSource(),
  };
}

async function pidOf(): Promise<number> {
  return Number(await readFile(join(folder, "pid"), "utf8").catch(() => "0"));
}

/** Deaf to what is polite. Each sleep is short, because it outlives its shell. */
const HANGS = 'trap "" TERM; while :; do sleep 0.02; done';

test("what Envoy says of a configuration is told, and it is asked without hot restart", async () => {
  const good = await asked('echo "$@"');
  expect(await validateConfig(good, never)).toEqual({
    isValid: true,
    output: "-c x.json --mode validate --disable-hot-restart\n",
  });
  const bad = await asked("echo no >&2; exit 1");
  expect(await validateConfig(bad, never)).toEqual({ isValid: false, output: "no\n" });
});

test("a validation that hangs is killed when the agent ends", async () => {
  const stop = new AbortController();
  const validation = validateConfig(await asked(HANGS, await findSetpriv(process.env.PATH)), stop.signal);
  const refused = expect(validation).rejects.toMatchObject({ code: "STOPPED" });
  await expect.poll(pidOf).toBeGreaterThan(0);
  const pid = await pidOf();
  stop.abort(new Error("received signal SIGTERM"));
  await refused;
  await expect.poll(() => isAlive(pid)).toBe(false);
});

test("a validation that hangs is killed at the limit", async () => {
  await expect(validateConfig(await asked(HANGS), never, 500)).rejects.toMatchObject({ code: "TIMEOUT" });
  const pid = await pidOf();
  expect(pid).toBeGreaterThan(0);
  await expect.poll(() => isAlive(pid)).toBe(false);
});

// becoming another user takes root
test.skipIf(process.getuid?.() !== 0)("a validation runs as the user that Envoy would be", async () => {
  await chmod(folder, 0o777);
  for (const setpriv of [undefined, await findSetpriv(process.env.PATH)]) {
    const options = {
      ...(await asked("id -u", setpriv)),
      runAs: { uid: 1337, gid: 1337 },
      output: outputSource({ owner: { uid: 1337, gid: 1337 } }),
    };
    expect(await validateConfig(options, never)).toEqual({ isValid: true, output: "1337\n" });
  }
});
