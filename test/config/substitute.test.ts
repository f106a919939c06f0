import { spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { loadConfig, substitute } from "../../src/config/index.ts";

const ENV: Readonly<Record<string, string>> = {
  A: "a",
  B: "b",
  A1: "a1",
  _U: "u",
  EMPTY: "",
  REF: "$A",
  BRACED: "${A}",
  AMP: "x$&y",
  DOLLARS: "p$$q",
  AROUND: "$`$'",
  LINES: "l1\nl2",
};

/** Text and what GNU envsubst 0.21 makes of it. */
const CASES: readonly (readonly [text: string, expected: string])[] = [
  ["$A", "a"],
  ["${A}", "a"],
  ["$A$B", "ab"],
  ["${A}${B}", "ab"],
  ["x$A.y", "xa.y"],
  ["$A_x", ""],
  ["${A}_x", "a_x"],
  ["$UNSET", ""],
  ["a${UNSET}b", "ab"],
  ["$EMPTY|", "|"],
  // a value is not looked at again, nor is it a replacement pattern
  ["$REF", "$A"],
  ["$BRACED", "${A}"],
  ["${REF} ${A}", "$A a"],
  ["$AMP", "x$&y"],
  ["$DOLLARS", "p$$q"],
  ["$AROUND", "$`$'"],
  ["$LINES", "l1\nl2"],
  // what is no reference stays
  ["$", "$"],
  ["$$", "$$"],
  ["$$A", "$a"],
  ["\\$A", "\\a"],
  ["${}", "${}"],
  ["${ A }", "${ A }"],
  ["${A", "${A"],
  ["$A}", "a}"],
  ["${A}}", "a}"],
  ["${{A}}", "${{A}}"],
  ["${A:-d}", "${A:-d}"],
  ["${A-d}", "${A-d}"],
  ["${UNSET:-d}", "${UNSET:-d}"],
  ["${#A}", "${#A}"],
  ["${A%x}", "${A%x}"],
  ["${A.B}", "${A.B}"],
  ["${A B}", "${A B}"],
  ["$1", "$1"],
  ["${1}", "${1}"],
  ["$-", "$-"],
  ["$É", "$É"],
  ["$(A)", "$(A)"],
  ["$(HOST_IP)", "$(HOST_IP)"],
  ["$ A", "$ A"],
  ["100%$", "100%$"],
  ["$\n$A", "$\na"],
  ["${A$B}", "${Ab}"],
  ["${$A}", "${a}"],
  // and names are just names
  ["$_U", "u"],
  ["$A1", "a1"],
  ["${A1}x", "a1x"],
  ["$A-B", "a-B"],
  ["$a", ""],
  ["`$A`", "`a`"],
  ["'$A'", "'a'"],
  ["{$A}", "{a}"],
  ["", ""],
  ["x\r\n$A\r\n", "x\r\na\r\n"],
  ["é$A😀", "éa😀"],
];

test.each(CASES)("%j becomes %j", (text, expected) => {
  expect(substitute(text, ENV)).toBe(expected);
});

const hasEnvsubst = spawnSync("envsubst", ["--version"]).status === 0;

test.runIf(hasEnvsubst)("the envsubst of this machine says the same", () => {
  const env = { ...ENV, PATH: process.env.PATH, LC_ALL: "C.UTF-8" };
  const answers = CASES.map(([text]) => spawnSync("envsubst", { input: text, env, encoding: "utf8" }).stdout);
  expect(answers).toEqual(CASES.map(([, expected]) => expected));
});

test("a name of Object's own is no variable", () => {
  expect(substitute("[$constructor][${__proto__}][$toString]", {})).toBe("[][][]");
});

test("--proxy-config names a file in which variables are replaced", async () => {
  const cwd = await mkdtemp(join(tmpdir(), "pb-substitute-"));
  try {
    await writeFile(join(cwd, "proxy.yaml"), "discoveryAddress: ${ISTIOD}:15012\nmeshId: $NONE\nstatusPort: x\n");
    const words = { args: ["--proxy-config", "proxy.yaml"], env: { ISTIOD: "istiod.example" }, cwd };
    await expect(loadConfig(words)).rejects.toThrow(/proxy\.yaml:3:13: statusPort/);
    await writeFile(join(cwd, "proxy.yaml"), "discoveryAddress: ${ISTIOD}:15012\n");
    expect((await loadConfig(words)).config.proxy.discoveryAddress).toBe("istiod.example:15012");
  } finally {
    await rm(cwd, { recursive: true, force: true });
  }
});

test("a --proxy-config file that does not exist is a problem", async () => {
  const loading = loadConfig({ args: ["--proxy-config", "gone.yaml"], env: {}, cwd: "/" });
  await expect(loading).rejects.toThrow('cannot read "gone.yaml"');
});
