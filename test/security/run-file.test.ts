import { chmod, chown, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { claimRunFolder } from "../../src/agent/run-folder/run-file.ts";
import { createLogger } from "../../src/base/index.ts";
import { loadConfig } from "../../src/config/index.ts";
import { markEnvoy, RUN_VARIABLE } from "../../src/envoy/left-behind/index.ts";
import { newBaseId } from "../../src/envoy/supervisor/hot-restart.ts";
import { run, runtimes } from "../support/pilotboat.ts";
import { isAlive } from "../support/processes.ts";
import { asRoot, STRANGER, type StartedProcess, startProgram } from "./users.ts";

const CONFIG = "etc/istio/proxy/envoy-rev.json";
const SECRET = "0123456789abcdef";

let folder: string;
let configPath: string;
let runFile: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-forged-"));
  configPath = join(folder, "etc/istio/proxy");
  runFile = join(configPath, "agent.json");
  await mkdir(configPath, { recursive: true });
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** Looks like an Envoy to whoever looks at its command line only: any program can. */
function lookalike(how: { uid?: number; env?: Record<string, string> } = {}): Promise<StartedProcess> {
  return startProgram(["/bin/sh", "-c", "echo up; while :; do sleep 0.02; done", "/opt/envoy", "-c", CONFIG], how);
}

/** A run file of an agent that is gone, which names that process in every detail. */
async function forge(victim: StartedProcess, more: Record<string, unknown> = {}): Promise<void> {
  const mark = await markEnvoy(victim.pid, { binary: "/opt/envoy", configFile: CONFIG, run: SECRET });
  const file = { pid: 2 ** 22 + 1, start: "long ago", statusPort: 1, envoys: [{ ...mark, ...more }] };
  await writeFile(runFile, JSON.stringify(file), { mode: 0o600 });
}

/** Claims the folder, as each start does; resolves with the log. */
async function claim(): Promise<string> {
  const lines: string[] = [];
  const { config } = await loadConfig({ args: ["sidecar"], env: {}, cwd: folder });
  const log = createLogger({ write: (line) => void lines.push(line) });
  await using _claimed = await claimRunFolder(config, log);
  return lines.join("");
}

const OURS = { [RUN_VARIABLE]: SECRET };

test("hostile 2: an Envoy of the run is ended: by the secret in its environment", async () => {
  await using victim = await lookalike({ env: OURS });
  await forge(victim);
  expect(await claim()).toContain("Stopped the Envoy that an earlier agent left behind");
  expect(isAlive(victim.pid)).toBe(false);
});

test.each([
  ["without the secret", {}, {}],
  ["with another secret", { [RUN_VARIABLE]: "fedcba9876543210" }, {}],
  ["with the secret, when the file says another user", OURS, { uid: 1 }],
  ["when the file has no secret", {}, { run: undefined }],
  ["when the file's secret is empty", { [RUN_VARIABLE]: "" }, { run: "" }],
  ["when the file says no user", OURS, { uid: undefined }],
])("hostile 2: a process %s is left alone", async (_what, env, more) => {
  await using victim = await lookalike({ env });
  await forge(victim, more);
  expect(await claim()).not.toContain("Ended");
  expect(isAlive(victim.pid)).toBe(true);
});

test.each([
  ["the folder is open to everybody", () => chmod(configPath, 0o777)],
  ["a folder above is open to everybody", () => chmod(join(folder, "etc"), 0o777)],
  ["the file is open to everybody", () => chmod(runFile, 0o666)],
  [
    "the file is a link",
    async () => {
      await rm(join(folder, "real"), { force: true });
      await writeFile(join(folder, "real"), await readFile(runFile), { mode: 0o600 });
      await rm(runFile);
      await symlink(join(folder, "real"), runFile);
    },
  ],
])("hostile 2: nobody is ended when %s", async (_what, open) => {
  await using victim = await lookalike({ env: OURS });
  await forge(victim);
  await open();
  expect(await claim()).not.toContain("Ended");
  expect(isAlive(victim.pid)).toBe(true);
});

test.skipIf(process.platform !== "linux")("hostile 2: a forged base id removes no shared memory", async () => {
  const memory = `/dev/shm/envoy_shared_memory_${newBaseId()}0`;
  const baseId = Number(/(\d+)0$/.exec(memory)?.[1]);
  await writeFile(memory, Buffer.alloc(104));
  try {
    const mark = { pid: 2 ** 22 + 2, start: "x", uid: 0, run: SECRET, binary: "/e", configFile: "c", baseId };
    await writeFile(runFile, JSON.stringify({ pid: 2 ** 22 + 1, start: "long ago", envoys: [mark] }));
    await chmod(configPath, 0o777);
    expect(await claim()).toContain("Ignoring files that an earlier agent may have left");
    expect((await stat(memory)).size).toBe(104);
  } finally {
    await rm(memory, { force: true });
  }
});

describe.skipIf(!asRoot)("another user", () => {
  test.each(["the file", "its folder", "a folder above"])(
    "hostile 2: %s made by another user ends nobody",
    async (which) => {
      await using ofRoot = await lookalike({ env: OURS });
      await forge(ofRoot);
      const place = which === "the file" ? runFile : which === "its folder" ? configPath : join(folder, "etc");
      await chown(place, STRANGER, STRANGER);
      expect(await claim()).toMatch(new RegExp(`Ignoring .*belongs to uid ${STRANGER}`));
      expect(isAlive(ofRoot.pid)).toBe(true);
    },
  );

  test("hostile 2: a third user's process is not ended, whatever its environment says", async () => {
    await using third = await lookalike({ uid: STRANGER + 1, env: OURS });
    await forge(third, { uid: 0 });
    await claim();
    expect(isAlive(third.pid)).toBe(true);
  });
});

describe.skipIf(!asRoot).each(runtimes())("another user, $name", (runtime) => {
  test("hostile 2: proxy ends nobody in a folder that another user made, and status does not believe it", async () => {
    await using ofRoot = await lookalike({ env: OURS });
    await using third = await lookalike({ uid: STRANGER + 1, env: OURS });
    for (const victim of [ofRoot, third]) {
      await forge(victim);
      await chown(runFile, STRANGER, STRANGER);
      await chown(folder, STRANGER, STRANGER);
      const status = await run(runtime, ["status", "--run-folder", folder]);
      expect(status).toMatchObject({ code: 1, stdout: "" });
      expect(status.stderr).toContain(`it belongs to uid ${STRANGER} [UNTRUSTED_PATH]`);
      const proxy = await run(runtime, ["proxy", "sidecar", "--run-folder", folder], {
        env: { PROXY_CONFIG: '{"controlPlaneAuthPolicy": "NONE"}', ENVOY_BIN: "/nowhere", INSTANCE_IP: "127.0.0.1" },
      });
      expect(proxy.code).toBe(1);
      expect(isAlive(victim.pid)).toBe(true);
    }
  });
});

test.each([
  ...["", "{", "null", "[]", "7", '"x"', '{"pid": "1"}', '{"pid": -1}', '{"pid": 1e400}', '{"pid": 5, "start": 5}'],
  ...['{"pid": 5, "envoys": {}}', '{"pid": 5, "envoys": [null, 1, "x", [], {}]}', '{"__proto__": {"pid": 5}}'],
  ...['{"pid": 5, "envoys": [{"pid": 0, "start": "x", "uid": 0, "run": "x", "binary": "x", "configFile": "x"}]}'],
  ...['{"pid": 5, "envoys": [{"pid": -1, "start": "x", "uid": 0, "run": "x", "binary": "x", "configFile": "x"}]}'],
  "x".repeat(100_000),
])("hostile 2: a run file of %.40s is passed over", async (content) => {
  await writeFile(runFile, content, { mode: 0o600 });
  expect(await claim()).not.toContain("Ended");
});
