import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createLogger } from "../../../src/base/index.ts";
import { findCoreDump } from "../../../src/envoy/evidence/core-dump.ts";
import { type CrashFacts, describeCrash, keepEvidence } from "../../../src/envoy/evidence/crash-evidence.ts";

let base: string;
let folder: string;
let lines: string[];
beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), "pb-evidence-"));
  folder = join(base, "crashes");
  lines = [];
});
afterEach(() => rm(base, { recursive: true, force: true }));

const log = createLogger({ write: (line) => void lines.push(line.split("\t").slice(1).join(" ").trim()) });
const ENDED = Date.UTC(2026, 7, 1, 10, 3, 2, 123);

function factsOf(change: Partial<CrashFacts> = {}): CrashFacts {
  return {
    what: "crashed",
    reason: "signal: segmentation fault",
    pid: 12,
    exitCode: undefined,
    signal: "SIGSEGV",
    startedMs: ENDED - 182_123,
    endedMs: ENDED,
    wasLive: true,
    lastLines: ["one", "two"],
    binary: "/usr/local/bin/envoy",
    version: "1.38.3",
    args: ["-c", "envoy-rev.json"],
    cwd: base,
    bootstrapFile: undefined,
    oomKillsBefore: 1,
    oomKillsAfter: 1,
    threads: undefined,
    ...change,
  };
}

test("everything that is known lies in one folder that only its owner can read", async () => {
  const bootstrapFile = join(base, "envoy-rev.json");
  await writeFile(bootstrapFile, JSON.stringify({ node: { id: "n" }, x: { access_token: "hunter2-hunter2" } }));
  const args = ["--config-yaml", '{"password":"overlay-secret"}', "-l", "warning"];
  const lastLines = ["critical: bad hunter2-hunter2", "two"];
  const umask = process.umask(0);
  const kept = await keepEvidence(folder, factsOf({ bootstrapFile, args, lastLines, threads: "t1 main" }), { log });
  process.umask(umask);
  expect(kept).toBe(join(folder, "2026-08-01T10-03-02.123Z-12"));
  expect(lines).toEqual([`error Envoy crashed: signal: segmentation fault after 3 m 2 s, pid 12; evidence in ${kept}`]);
  const names = (await readdir(kept ?? "")).sort();
  expect(names).toEqual(["bootstrap.json", "report.json", "stderr.txt", "threads.txt"]);
  const modes = await Promise.all(
    [folder, kept ?? "", ...names.map((name) => join(kept ?? "", name))].map(async (path) => (await stat(path)).mode),
  );
  expect(modes.map((mode) => (mode & 0o777).toString(8))).toEqual(["700", "700", "600", "600", "600", "600"]);
  const read = (name: string) => readFile(join(kept ?? "", name), "utf8");
  expect(JSON.parse(await read("bootstrap.json"))).toEqual({ node: { id: "n" }, x: { access_token: "[hidden]" } });
  expect(await read("stderr.txt")).toBe("critical: bad [hidden]\ntwo\n");
  expect(await read("threads.txt")).toBe("t1 main");
  expect(JSON.parse(await read("report.json"))).toMatchObject({
    what: "crashed",
    reason: "signal: segmentation fault",
    pid: 12,
    exitCode: null,
    signal: "SIGSEGV",
    coreDump: { kind: expect.stringMatching(/no|perhaps/) },
    started: "2026-08-01T10:00:00.000Z",
    uptimeMs: 182_123,
    wasLive: true,
    killedForMemory: "no",
    version: "1.38.3",
    args: ["--config-yaml", '{"password":"[hidden]"}', "-l", "warning"],
    bootstrap: `copied from ${bootstrapFile}`,
  });
});

test.each([
  ["no JSON", "password: hunter2-hunter2\n", /not copied: it is not JSON/],
  ["missing", undefined, /not copied: no such file/],
  ["of 5 MB", `{"a":"${"x".repeat(5 * 2 ** 20)}"}`, /not copied: it has \d+ bytes, at most \d+ are read/],
])("a bootstrap that is %s is not copied, and the report says so", async (_what, content, note) => {
  const bootstrapFile = join(base, "custom.yaml");
  if (content !== undefined) await writeFile(bootstrapFile, content);
  const kept = (await keepEvidence(folder, factsOf({ bootstrapFile }), { log })) ?? "";
  expect((await readdir(kept)).sort()).toEqual(["report.json", "stderr.txt"]);
  expect(JSON.parse(await readFile(join(kept, "report.json"), "utf8")).bootstrap).toMatch(note);
});

test("the newest stay, and nothing that is not ours goes", async () => {
  await mkdir(join(folder, "2020-notes"), { recursive: true });
  await mkdir(join(base, "elsewhere"));
  await symlink(join(base, "elsewhere"), join(folder, "2020-01-01T00-00-00.000Z-1"));
  await writeFile(join(folder, "2020-01-01T00-00-00.000Z-2"), "a file");
  for (let at = 0; at < 7; at++) await keepEvidence(folder, factsOf({ endedMs: ENDED + at, pid: 20 - at }), { log });
  expect((await readdir(folder)).sort()).toEqual([
    "2020-01-01T00-00-00.000Z-1",
    "2020-01-01T00-00-00.000Z-2",
    "2020-notes",
    ...[2, 3, 4, 5, 6].map((at) => `2026-08-01T10-03-02.12${3 + at}Z-${20 - at}`),
  ]);
});

test("a folder that cannot be made is one warning, and the message is still said", async () => {
  await writeFile(folder, "a file in its place");
  expect(await keepEvidence(folder, factsOf(), { log })).toBeUndefined();
  expect(lines).toEqual([
    expect.stringMatching(
      /^warn Cannot keep all evidence of Envoy's exit folder=.* error=.*(EEXIST|ENOTDIR|is no folder)/,
    ),
    "error Envoy crashed: signal: segmentation fault after 3 m 2 s, pid 12",
  ]);
});

test.skipIf(process.platform !== "linux")("a file system that refuses is one warning", async () => {
  expect(await keepEvidence("/proc/crashes", factsOf(), { log })).toBeUndefined();
  expect(lines.filter((line) => line.startsWith("warn"))).toHaveLength(1);
});

test.each([
  ["SIGKILL", 1, 2, ["The kernel killed a process for lack of memory; raise the memory limit"]],
  ["SIGKILL", 1, 1, []],
  ["SIGKILL", undefined, undefined, ["Possibly out of memory; check the container's memory limit"]],
  ["SIGSEGV", 1, 2, []],
] as const)("after %s with %s, then %s kills for memory, this is added: %j", (signal, before, after, added) => {
  const facts = factsOf({ signal, oomKillsBefore: before, oomKillsAfter: after });
  expect(describeCrash(facts, undefined).slice(1)).toEqual(added);
});

test.each([
  [250, "250 ms"],
  [1_999, "1 s"],
  [7_260_000, "2 h 1 m"],
  [180_000_000, "2 d 2 h"],
  [-5, "0 ms"],
])("%d ms are told as %s", (ms, text) => {
  expect(describeCrash(factsOf({ startedMs: ENDED - ms }), undefined)[0]).toContain(`after ${text}, pid 12`);
});

describe("the core dump", () => {
  const find = (pattern: string | undefined, change: object = {}) => put(pattern).then(() => findIt(change));
  const findIt = (change: object) =>
    findCoreDump({ signal: "SIGSEGV", pid: 12, binary: "/bin/envoy", cwd: base, startedMs: 0, root: base, ...change });
  async function put(pattern: string | undefined): Promise<void> {
    const file = join(base, "proc/sys/kernel/core_pattern");
    await mkdir(dirname(file), { recursive: true });
    if (pattern !== undefined) await writeFile(file, `${pattern}\n`);
  }

  test("is found under the name that the kernel gives it", async () => {
    await writeFile(join(base, "core.envoy.12"), "");
    expect(await find("core.%e.%p")).toEqual({ kind: "found", file: join(base, "core.envoy.12") });
  });

  test("may carry the pid without being told to", async () => {
    await put("core");
    await writeFile(join(base, "proc/sys/kernel/core_uses_pid"), "1\n");
    await writeFile(join(base, "core.12"), "");
    expect(await findIt({})).toEqual({ kind: "found", file: join(base, "core.12") });
  });

  test("of an earlier process does not count", async () => {
    await writeFile(join(base, "core"), "");
    expect(await find("core", { startedMs: Date.now() + 60_000 })).toMatchObject({ kind: "no" });
  });

  test.each([
    ["core", {}, "no"],
    ["core", { signal: "SIGKILL" }, "no"],
    ["core", { signal: undefined }, "no"],
    ["|/usr/lib/systemd/systemd-coredump %P", {}, "perhaps"],
    ["core.%t", {}, "perhaps"],
    [undefined, {}, "perhaps"],
  ])("with the pattern %j and %j: %s", async (pattern, change, kind) => {
    expect((await find(pattern, change)).kind).toBe(kind);
  });
});
