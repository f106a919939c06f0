import { Writable } from "node:stream";
import { expect, test } from "vitest";
import { canRedraw, columnTable, nameTable, redraw, stdoutOf, wrap } from "../../src/cli/terminal/index.ts";
import { wantsColour } from "../../src/cli/terminal/terminal.ts";
import { bad, coloured, good, plain } from "../../src/cli/terminal/text.ts";

test.each<[Record<string, string>, boolean, boolean]>([
  [{ TERM: "xterm" }, true, true],
  [{}, true, false],
  [{ TERM: "xterm" }, false, false],
  [{ NO_COLOR: "1", TERM: "xterm" }, true, false],
  [{ NO_COLOR: "", TERM: "xterm" }, true, true],
  [{ TERM: "dumb" }, true, false],
  [{ FORCE_COLOR: "1" }, false, true],
  [{ FORCE_COLOR: "" }, false, true],
  [{ FORCE_COLOR: "0" }, true, false],
  [{ FORCE_COLOR: "false" }, true, false],
  [{ FORCE_COLOR: "1", NO_COLOR: "1", TERM: "dumb" }, false, true],
])("%j on a terminal (%s): colours %s", (env, isTerminal, expected) => {
  expect(wantsColour(env, isTerminal)).toBe(expected);
});

test("what is quoted cannot add colours or steer the terminal", () => {
  const hostile = "\u001b[31mred\u001b[0m\u009b2J\r\u202e";
  const shown = coloured([good(hostile), hostile, [bad("")]]).toString();
  expect(shown).toBe(
    `\u001b[32m${"\\u001b[31mred\\u001b[0m\\u009b2J\\r\\u202e"}\u001b[39m${"\\u001b[31mred\\u001b[0m\\u009b2J\\r\\u202e"}`,
  );
});

function print(env: Record<string, string>, as: { isTTY?: boolean; columns?: number } = {}) {
  const chunks: unknown[] = [];
  const stdout = new Writable({
    decodeStrings: false,
    write: (chunk, _encoding, done) => done(void chunks.push(chunk)),
  });
  const terminal = stdoutOf({ stdout: Object.assign(stdout, as), env });
  terminal.print([good("a"), "b"]);
  return { chunks: chunks.map(String), width: terminal.width };
}

test("a pipe gets plain text as wide as it likes; a terminal says its width, and COLUMNS says it for both", () => {
  expect(print({})).toEqual({ chunks: ["ab"], width: undefined });
  expect(print({ TERM: "xterm" }, { isTTY: true, columns: 72 })).toEqual({
    chunks: ["\u001b[32ma\u001b[39mb"],
    width: 72,
  });
  expect(print({}, { isTTY: true, columns: 0 }).width).toBeUndefined();
  expect(print({ COLUMNS: "40" }).width).toBe(40);
  expect(print({ COLUMNS: "40" }, { isTTY: true, columns: 72 }).width).toBe(40);
  expect(print({ COLUMNS: "1" }).width).toBe(20);
  for (const COLUMNS of ["", "0", "-5", "x", "4e1"]) expect(print({ COLUMNS }).width).toBeUndefined();
});

const show = (...args: Parameters<typeof nameTable>): string[] =>
  plain(nameTable(...args))
    .split("\n")
    .slice(0, -1);

test("names and values: one line each where there is room, wrapped or below the name where there is not", () => {
  const rows = [
    ["certificate", "spiffe://cluster.local/ns/default/sa/quickstart"],
    ["node", "a b"],
    ["", "continued"],
  ] as const;
  expect(show(rows, { width: undefined })).toEqual([
    "certificate  spiffe://cluster.local/ns/default/sa/quickstart",
    "node         a b",
    "             continued",
  ]);
  expect(show(rows, { width: 40 })).toEqual([
    "certificate",
    "  spiffe://cluster.local/ns/default/sa/q",
    "  uickstart",
    "node         a b",
    "             continued",
  ]);
  const words = Array.from({ length: 12 }, () => "word").join(" ");
  expect(show([["n", words]], { width: 40, indent: 2 })).toEqual([
    "  n  word word word word word word word",
    "     word word word word word",
  ]);
});

test("columns become blocks where they do not fit", () => {
  const table = (width?: number) =>
    plain(
      columnTable(
        ["VERSION", "PATH"],
        [
          ["1.2.3", "/a/long/path/to/envoy"],
          ["4", "-"],
        ],
        width,
      ),
    );
  expect(table()).toBe("VERSION  PATH\n1.2.3    /a/long/path/to/envoy\n4        -\n");
  expect(table(30)).toBe(table());
  expect(table(25)).toBe("VERSION  1.2.3\nPATH\n  /a/long/path/to/envoy\n\nVERSION  4\nPATH     -\n");
});

test("no line of a wrapped text is too long, and no word is lost", () => {
  const text = "a bb ccc dddd eeeee ffffff ggggggg hhhhhhhh iiiiiiiiiiiiiiiiiiii  j";
  for (let width = 1; width < 80; width++) {
    const lines = wrap([good(text.slice(0, 20)), text.slice(20)], width).map(plain);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(width);
    expect(lines.join("").replaceAll(" ", "")).toBe(text.replaceAll(" ", ""));
  }
});

function screen(rows: number, columns: number) {
  const chunks: string[] = [];
  const stream = new Writable({
    decodeStrings: false,
    write: (chunk, _encoding, done) => done(void chunks.push(String(chunk))),
  });
  return { chunks, stdout: Object.assign(stream, { isTTY: true, rows, columns }) };
}

test("a text that is longer than the screen is cut to it, with the number of lines that are hidden", () => {
  const text = [good("one\ntwo\nthree"), "\nfour\n", "five\n"];
  const shown = (rows: number, columns = 80) => {
    const { chunks, stdout } = screen(rows, columns);
    redraw({ stdout, env: { TERM: "xterm", NO_COLOR: "1" } }, text);
    expect(chunks.shift()).toBe("\u001b[H\u001b[J");
    return chunks.join("").split("\n").slice(0, -1);
  };
  expect(shown(6)).toEqual(["one", "two", "three", "four", "five"]);
  expect(shown(0)).toEqual(["one", "two", "three", "four", "five"]); // a size that is unknown
  expect(shown(5)).toEqual(["one", "two", "three", "… 2 more lines: the terminal is too short"]);
  expect(shown(2)).toEqual(["… 5 more lines: the terminal is too short"]);
  expect(shown(1)).toHaveLength(1);
  expect(shown(5, 4)).toEqual(["one", "two", "… 3 "]); // "three" takes two rows of four columns
});

test.each<[Record<string, string>, boolean, boolean]>([
  [{ TERM: "xterm" }, true, true],
  [{ TERM: "dumb" }, true, false],
  [{ TERM: "" }, true, false],
  [{}, true, false],
  [{ TERM: "xterm" }, false, false],
])("%j on a terminal (%s): shown anew in its place %s", (env, isTTY, expected) => {
  const { stdout } = screen(24, 80);
  expect(canRedraw(Object.assign(stdout, { isTTY }), env)).toBe(expected);
});
