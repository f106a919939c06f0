import { Writable } from "node:stream";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { writeDocument } from "../../src/cli/document.ts";

const VALUE = { ready: false, reason: "a: b # c", causes: [{ text: "two\nlines" }], absent: undefined };

async function written(value: unknown, form: string, isOneOfMany = false): Promise<string> {
  let text = "";
  const stdout = new Writable({
    write: (chunk, _encoding, done) => {
      text += String(chunk);
      done();
    },
  });
  await writeDocument({ stdout }, value, { form, isOneOfMany });
  return text;
}

test.each([
  ["json", (text: string): unknown => JSON.parse(text)],
  ["yaml", (text: string): unknown => parse(text)],
])("%s reads back as what it was, and what is not known is absent", async (form, read) => {
  expect(read(await written(VALUE, form))).toEqual({
    ready: false,
    reason: "a: b # c",
    causes: [{ text: "two\nlines" }],
  });
  expect(read(await written([], form))).toEqual([]);
});

test.each([
  ["json", (text: string): unknown => JSON.parse(text)],
  ["yaml", (text: string): unknown => parse(text)],
])("hostile 6: in %s nothing steers a terminal, and the value is still the same", async (form, read) => {
  const hostile = { "key\u001b[2J": "\u001b[2J\u009b31m\u202eesrever\u2066", odd: "null" };
  const text = await written(hostile, form);
  for (const code of ["\u001b", "\u009b", "\u202e", "\u2066"]) expect(text).not.toContain(code);
  expect(read(text)).toEqual(hostile);
});

test("many follow each other: JSON in a line each, YAML after a mark", async () => {
  expect(await written({ a: 1 }, "json", true)).toBe('{"a":1}\n');
  expect(await written({ a: 1 }, "yaml", true)).toBe("---\na: 1\n");
});
