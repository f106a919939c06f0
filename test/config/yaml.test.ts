import { describe, expect, test } from "vitest";
import { readYaml } from "../../src/config/yaml.ts";

function treeOf(text: string): unknown {
  const reading = readYaml(text, "doc");
  expect(reading).toMatchObject({ ok: true });
  return reading.ok ? reading.document.tree : undefined;
}

describe("unquoted scalars are YAML 1.1", () => {
  test.each<[string, unknown]>([
    ...["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"].map((text): [string, unknown] => [
      text,
      true,
    ]),
    ...["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"].map((text): [string, unknown] => [
      text,
      false,
    ]),
    ...["", "~", "null", "Null", "NULL"].map((text): [string, unknown] => [text, null]),
    ["yEs", "yEs"],
    ["nULL", "nULL"],
    ["010", 8],
    ["-010", -8],
    ["0o10", 8],
    ["0x1F", 31],
    ["0b11", 3],
    ["1_000", 1000],
    ["+12", 12],
    ["08", 8],
    ["1.0", 1],
    ["4.", 4],
    [".5", 0.5],
    ["1e3", 1000],
    ["1.5e-1", 0.15],
    ["12:30:45", "12:30:45"],
    ["190:20:30", "190:20:30"],
    ["2020-01-01", "2020-01-01"],
    ["2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z"],
    ["0x", "0x"],
    ["1e400", "1e400"],
    ["1.2.3.4", "1.2.3.4"],
    ["9223372036854775807", 9223372036854775807n],
    ["9007199254740991", 9007199254740991],
  ])("%s is %s", (text, expected) => {
    expect(treeOf(`a: ${text}`)).toEqual({ a: expected });
  });

  test.each([
    ["'yes'", "yes"],
    ['"010"', "010"],
    ["!!str 010", "010"],
    ["!!int '3'", 3],
    ["!!binary aGk=", "hi"],
    ["|\n  1\n", "1\n"],
  ])("%s is told what it is", (text, expected) => {
    expect(treeOf(`a: ${text}`)).toEqual({ a: expected });
  });

  test.each([".inf", "-.Inf", "+.INF", ".nan"])("%s is an error at its place", (text) => {
    expect(readYaml(`a: 1\nb: ${text}`, "doc")).toMatchObject({
      ok: false,
      origin: { source: "doc", line: 2, column: 4 },
      message: expect.stringContaining("not a number that JSON knows"),
    });
  });
});

describe("keys", () => {
  test.each([
    ["yes: a", "true"],
    ["off: a", "false"],
    ["010: a", "8"],
    ["1.0: a", "1"],
    ["2020-01-01: a", "2020-01-01"],
    ["'yes': a", "yes"],
    ["__proto__: a", "__proto__"],
  ])("%s", (text, key) => {
    expect(Object.entries(treeOf(text) as object)).toEqual([[key, "a"]]);
  });

  test.each(["~: a", "[a]: b", "{a: b}: c"])("%s is no name", (text) => {
    expect(readYaml(text, "doc")).toMatchObject({ ok: false, message: expect.stringMatching(/^a key is/) });
  });

  test("the last of duplicate keys wins, and is the one that is located", () => {
    expect(treeOf("a: 1\na: 2")).toEqual({ a: 2 });
    const reading = readYaml("a: 1\na: 2", "doc");
    expect(reading.ok && reading.document.locate(["a"])).toEqual({ source: "doc", line: 2, column: 4 });
  });
});

describe("documents", () => {
  test.each(["", "\n", "# nothing", "null", "~", "---\n---\na: b"])("%j changes nothing", (text) => {
    expect(treeOf(text)).toBeUndefined();
  });

  test("only the first one counts, even when the second is broken", () => {
    expect(treeOf("a: b\n---\nc: d\n: : :")).toEqual({ a: "b" });
  });

  test.each<[string, unknown]>([
    ["[a]", ["a"]],
    ["text", "text"],
    ["3", 3],
  ])("%s is passed on for others to refuse", (text, tree) => {
    expect(treeOf(text)).toEqual(tree);
  });

  test("a leading TAB is an error with its place", () => {
    expect(readYaml("\ta: b", "doc")).toMatchObject({ ok: false, origin: { line: 1, column: 1 } });
  });

  test("JSON is YAML", () => {
    expect(treeOf('{\n\t"a": [1, true, null, "x\\u00e9\\/"]\n}')).toEqual({ a: [1, true, null, "xé/"] });
  });

  test("Windows line ends and a byte order mark do no harm", () => {
    expect(treeOf("\ufeffa: 1\r\nb: yes\r\n")).toEqual({ a: 1, b: true });
  });
});

describe("anchors", () => {
  test.each<[string, unknown]>([
    ["a: &x {b: 1}\nc: *x", { a: { b: 1 }, c: { b: 1 } }],
    ["a: &x 1\nb: &x 2\nc: *x", { a: 1, b: 2, c: 2 }],
    ["a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}", { a: { b: 1, c: 2 }, d: { b: 1, c: 3 } }],
    ["d: {c: 3, <<: {b: 1, c: 2}}", { d: { b: 1, c: 2 } }], // as go-yaml v2 does it: the later one wins
    ["<<: [{a: 1}, {a: 2, b: 3}]", { a: 1, b: 3 }],
  ])("%j", (text, expected) => {
    expect(treeOf(text)).toEqual(expected);
  });

  test.each([
    ["a: *x", 'unknown anchor "x"'],
    ["a: &x [*x]", "contains itself"],
    ["<<: 3", "map merge requires"],
    ["<<: [3]", "map merge requires"],
    ["a: !!int x", "cannot decode"],
    ["a: !!null x", "cannot decode"],
  ])("%j is an error", (text, message) => {
    const reading = readYaml(text, "doc");
    expect(reading.ok).toBe(false);
    expect(!reading.ok && reading.message.toLowerCase()).toContain(message.toLowerCase());
  });

  test("a document that would unfold without end is refused at once", () => {
    const levels = Array.from({ length: 30 }, (_, at) => `l${at + 1}: &l${at + 1} [${`*l${at},`.repeat(9)}]`);
    const reading = readYaml(`l0: &l0 x\n${levels.join("\n")}`, "doc");
    expect(reading).toMatchObject({ ok: false, message: "document contains excessive aliasing" });
  });

  test("a document that is too deep is an error, not a crash", () => {
    const origin = { source: "doc", line: 2, column: 199 };
    expect(readYaml(`a: b\n${"[".repeat(50_000)}`, "doc")).toMatchObject({ ok: false, origin });
    expect(readYaml("- ".repeat(50_000), "doc")).toMatchObject({ ok: false });
    expect(readYaml("? ".repeat(50_000), "doc")).toMatchObject({ ok: false });
    const steps = Array.from({ length: 2_000 }, (_, at) => `${" ".repeat(at)}a:`).join("\n");
    expect(readYaml(steps, "doc")).toMatchObject({ ok: false, message: "is nested too deeply" });
    expect(readYaml(`${"[".repeat(50_000)}${"]".repeat(50_000)}`, "doc")).toMatchObject({ ok: false });
  });
});

test("every value knows its line and column", () => {
  const reading = readYaml("a: 1\nb:\n  c:\n    - x\n    - {yes: 2}\nd:\n", "doc");
  if (!reading.ok) throw new Error(reading.message);
  const at = (...path: (string | number)[]) => {
    const { line, column } = reading.document.locate(path);
    return `${line}:${column}`;
  };
  expect([at("a"), at("b"), at("b", "c", 0), at("b", "c", 1, "true"), at("d"), at("b", "gone"), at()]).toEqual([
    "1:4",
    "2:1",
    "4:7",
    "5:13",
    "6:1",
    "2:1",
    "1:1",
  ]);
});
