import { expect, test } from "vitest";
import { applyDifferences, differencesOf } from "./differences.ts";

const BASE = { a: 1, list: [{ name: "x", port: 1 }, { name: "y" }], plain: [1, 2], deep: { one: { two: 3 } } };

test.each([
  ["nothing", BASE, {}],
  ["a value", { ...BASE, a: 2 }, { a: 2 }],
  ["a key at the end", { ...BASE, z: 1 }, { z: 1 }],
  ["a key at the start", { z: 1, ...BASE }, { z: 1, $after: { z: "" } }],
  ["two keys in the middle", { a: 1, y: 1, z: 2, ...without("a") }, { y: 1, z: 2, $after: { y: "a", z: "y" } }],
  ["a key that goes", without("deep"), { deep: null }],
  ["a named element", { ...BASE, list: [{ name: "x", port: 2 }, { name: "y" }] }, { list: { "[x]": { port: 2 } } }],
  [
    "a new element between others",
    { ...BASE, list: [{ name: "x", port: 1 }, { name: "z" }, { name: "y" }] },
    { list: { "[z]": { name: "z" }, $after: { "[z]": "[x]" } } },
  ],
  ["an array without names", { ...BASE, plain: [2] }, { plain: [2] }],
  ["an array that becomes an object", { ...BASE, plain: { b: 1 } }, { plain: { b: 1 } }],
  ["deep down", { ...BASE, deep: { one: { two: 4 } } }, { deep: { one: { two: 4 } } }],
])("the differences of %s are these alone, and make the document again", (_, document, patch) => {
  expect(differencesOf(BASE, document as never)).toEqual(patch);
  expect(JSON.stringify(applyDifferences(BASE, patch as never))).toBe(JSON.stringify(document));
});

test.each([
  ["a null", { ...BASE, a: null }],
  ["keys in another order", { ...without("a"), a: 1 }],
  ["elements in another order", { ...BASE, list: [{ name: "y" }, { name: "x", port: 1 }] }],
])("%s is refused, not lost", (_, document) => {
  expect(() => differencesOf(BASE, document as never)).toThrow("cannot be written as a patch");
});

function without(key: keyof typeof BASE) {
  return Object.fromEntries(Object.entries(BASE).filter(([name]) => name !== key));
}
