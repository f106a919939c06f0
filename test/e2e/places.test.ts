import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Runtime, run, runtimes, start } from "../support/pilotboat.ts";
import { freePorts } from "../support/ports.ts";
import { realEnvoy } from "../support/real-envoy.ts";

// Where the agent's files go: folders with long paths, and places that are missing, full or read-only.

const isRoot = process.getuid?.() === 0; // else nothing can be mounted

const READ_ONLY = "/mnt/pb-read-only";
const FULL = "/mnt/pb-full";
/** Has no inode left. */
const CROWDED = "/mnt/pb-crowded";
/** Root alone may enter it. */
const CLOSED = "/mnt/pb-closed";

/** The same command where the four folders above are there, in a mount namespace of its own; `before` are words such as `env`. */
function mounted({ name, command }: Runtime, ...before: readonly string[]): Runtime {
  const script = `set -e
    mount -t tmpfs none /mnt
    mkdir ${READ_ONLY} ${FULL} ${CROWDED} && mkdir -m 0700 ${CLOSED}
    mount -t tmpfs -o ro none ${READ_ONLY}
    mount -t tmpfs -o size=4k,mode=1777 none ${FULL} && echo full > ${FULL}/file
    mount -t tmpfs -o nr_inodes=2,mode=1777 none ${CROWDED} && touch ${CROWDED}/file
    exec "$@"`;
  return { name, command: ["unshare", "--mount", "sh", "-c", script, "sh", ...before, ...command] };
}

let envoy: string;
beforeAll(async () => {
  envoy = await realEnvoy();
});

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-places-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A folder whose path has that many bytes. */
async function folderOfLength(bytes: number): Promise<string> {
  const path = `${folder}/${"x".repeat(bytes - folder.length - 1)}`;
  await mkdir(path);
  return path;
}

/** A control plane, its credentials in `runFolder`, and the variables of a sidecar that is started there. */
async function controlPlaneFor(runtime: Runtime, runFolder: string) {
  const [outbound, inbound] = await freePorts(2);
  const sets = [`OUTBOUND_PORT=${outbound}`, `INBOUND_PORT=${inbound}`].flatMap((value) => ["--set", value]);
  const words = ["--dir", "examples/quickstart/xds", "--port", "0", ...sets, "--write-credentials", runFolder];
  const command = start(runtime, ["control-plane", ...words]);
  const [, port] = await command.waitFor(/^control plane +127\.0\.0\.1:(\d+)[\s\S]*^credentials /m);
  const env = {
    PROXY_CONFIG: JSON.stringify({ discoveryAddress: `localhost:${port}` }),
    POD_NAME: "quickstart",
    POD_NAMESPACE: "default",
    SERVICE_ACCOUNT: "quickstart",
    INSTANCE_IP: "127.0.0.1",
  };
  return { env, [Symbol.asyncDispose]: () => command[Symbol.asyncDispose]() };
}

const ASK = ["sh", "-c", 'curl -sf "$PILOTBOAT_OUTBOUND_URL/hello" >/dev/null && echo "$PILOTBOAT_RUN_FOLDER"'];

describe.each(runtimes())("on $name", (runtime) => {
  test.each([
    [45, /^(.*)\/pilotboat-\w{6}\n$/],
    [52, /^(.*)\/pb-\w{6}\n$/],
    [54, /^(\/tmp)\/pilotboat-\w{6}\n$/],
    [200, /^(\/tmp)\/pilotboat-\w{6}\n$/],
  ])("reality 20: run --local works with a TMPDIR of %i bytes", async (bytes, place) => {
    const temporary = await folderOfLength(bytes);
    const env = { TMPDIR: temporary, ENVOY_BIN: envoy };
    const { code, stdout, stderr } = await run(runtime, ["run", "--local", "--", ...ASK], { cwd: folder, env });
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining("the proxy is ready") });
    const [, inside] = place.exec(stdout) ?? [];
    expect(["/tmp", temporary]).toContain(inside);
    expect(await readdir(temporary)).toEqual([]);
  });

  test("reality 20: up works with a long TMPDIR, and leaves nothing", async () => {
    const temporary = await folderOfLength(120);
    await using command = start(runtime, ["up"], { cwd: folder, env: { TMPDIR: temporary, ENVOY_BIN: envoy } });
    const [, url = ""] = await command.waitFor(/curl (http:\S+)/);
    const [, place = ""] = await command.waitFor(/^folder +(\S+)$/m);
    expect((await fetch(url)).status).toBe(200);
    command.kill("SIGINT");
    expect(await command.ended).toEqual({ code: 0, signal: null });
    expect(await readdir(temporary)).toEqual([]);
    await expect(readdir(place)).rejects.toMatchObject({ code: "ENOENT" });
  });

  test("reality 20: a proxy runs in a folder with a long path, as pilot-agent does; from elsewhere the hint says so", async () => {
    const long = await folderOfLength(150);
    await using plane = await controlPlaneFor(runtime, long);
    const words = ["run", "--ready-timeout", "30s", "--", "true"];
    const env = { ...plane.env, ENVOY_BIN: envoy };
    expect(await run(runtime, words, { cwd: long, env })).toMatchObject({ code: 0 });
    const { code, stderr } = await run(runtime, ["run", "--run-folder", long, "--", "true"], { cwd: folder, env });
    expect(code).toBe(2);
    expect(stderr).toMatch(/\[SOCKET_PATH_TOO_LONG\]\n {2}hint: .* at least \d+ bytes shorter, with --run-folder/);
  });

  test.runIf(isRoot).each([
    ["missing", "/nonexistent", /"\/nonexistent" \(TMPDIR\): ENOENT/],
    ["missing, and relative", "nowhere", /\/pb-places-\w+\/nowhere" \(TMPDIR\): ENOENT/],
    ["a file", "/etc/passwd", /"\/etc\/passwd" \(TMPDIR\): ENOTDIR/],
    ["a place where nothing can be made", "/proc", /"\/proc" \(TMPDIR\)/],
    ["read-only", READ_ONLY, /read-only" \(TMPDIR\): EROFS/],
    ["full", FULL, /ENOSPC/],
    ["out of inodes", CROWDED, /crowded" \(TMPDIR\): ENOSPC/],
  ])("reality 23: TMPDIR is %s", async (_what, TMPDIR, wanted) => {
    for (const words of [["up"], ["run", "--local", "--", "true"], ["bootstrap", "validate"]]) {
      const { code, stderr } = await run(mounted(runtime), words, { cwd: folder, env: { TMPDIR, ENVOY_BIN: envoy } });
      expect({ words, code }).toEqual({ words, code: 1 });
      expect(stderr).toMatch(wanted);
      expect(stderr).toMatch(/\[FILE_UNWRITABLE\]\n {2}hint: \S/);
      expect(stderr).not.toContain("Internal failure");
    }
  });

  test
    .runIf(isRoot)
    .each([
      { HOME: "relative" },
      { HOME: "/nonexistent" },
      { HOME: "/etc/passwd" },
      { HOME: READ_ONLY },
      { HOME: "" },
      { XDG_STATE_HOME: "relative" },
      { XDG_STATE_HOME: "/proc" },
      { XDG_CACHE_HOME: "relative", HOME: "relative" },
    ])("reality 23: run --local with %j needs none of them, and writes nothing here", async (places) => {
    const env = { TMPDIR: folder, ENVOY_BIN: envoy, XDG_CACHE_HOME: "", ...places };
    const { code, stdout } = await run(mounted(runtime), ["run", "--local", "--", "echo", "ok"], { cwd: folder, env });
    expect({ code, stdout }).toEqual({ code: 0, stdout: "ok\n" });
    expect(await readdir(folder)).toEqual([]);
  });

  test.runIf(isRoot).each([
    ["missing and not to be made", { HOME: "/proc", XDG_CACHE_HOME: "" }, "/proc/.cache/pilotboat"],
    ["read-only", { XDG_CACHE_HOME: READ_ONLY }, `${READ_ONLY}/pilotboat`],
    ["full", { XDG_CACHE_HOME: CROWDED }, `${CROWDED}/pilotboat`],
    ["in a home of somebody else", { HOME: CLOSED, XDG_CACHE_HOME: "" }, `${CLOSED}/.cache/pilotboat`],
    ["not absolute, and the home neither", { XDG_CACHE_HOME: "here", HOME: "here" }, "/.cache/pilotboat"],
  ])("reality 23: an Envoy's cache that is %s is an error with a hint", async (_what, places, path) => {
    const env = { ...places, PATH: "/usr/bin:/bin" };
    const words = ["run", "--local", "--", "true"];
    const asNobody = mounted(runtime, "setpriv", "--reuid", "12345", "--clear-groups");
    const { code, stderr } = await run(asNobody, words, { cwd: "/", env });
    expect(code).toBe(1);
    expect(stderr).toContain(`"${path}`);
    expect(stderr).toMatch(/\[FILE_UNWRITABLE\]\n {2}hint: .*XDG_CACHE_HOME/);
  });

  test.runIf(isRoot).each([
    ["read-only", READ_ONLY],
    ["full", FULL],
    ["out of inodes", CROWDED],
  ])("reality 23: a run folder that is %s is an error with a hint", async (_what, cwd) => {
    const env = { ENVOY_BIN: envoy, PROXY_CONFIG: '{"discoveryAddress":"localhost:1"}' };
    const { code, stderr } = await run(mounted(runtime, "env", "-C", cwd), ["run", "--", "true"], { env });
    expect(code).toBe(1);
    expect(stderr).toMatch(/\[FILE_UNWRITABLE\]\n {2}hint: \S/);
  });

  test("reality 23: a working directory that was removed is no internal failure", async () => {
    const [file = "", ...before] = runtime.command;
    const line = `mkdir gone && cd gone && rmdir ../gone && exec "${[file, ...before].join('" "')}" version`;
    const { code, stderr } = await run({ name: "sh", command: ["sh", "-c"] }, [line], { cwd: folder });
    expect(code).toBe(1);
    expect(stderr).toMatch(/working directory.*(was removed|was deleted)/);
    expect(stderr).not.toContain("Internal failure");
  });
});
