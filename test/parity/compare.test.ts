import { describe, expect, test } from "vitest";
import { compareObservations } from "./compare.ts";
import type { Difference, Json } from "./observation.ts";
import { explain, type Reason } from "./reasons.ts";

const compare = (reference: Json, pilotboat: Json) =>
  compareObservations({ area: reference }, { area: pilotboat }).map(({ path }) => path);

describe("two observations", () => {
  test.each<[string, Json, Json, string[]]>([
    ["are equal in another order of members", { a: 1, b: [{ c: null }] }, { b: [{ c: null }], a: 1 }, []],
    ["differ in a value", { a: { b: 1 } }, { a: { b: 2 } }, ["/a/b"]],
    ["differ in its type", { a: 1 }, { a: "1" }, ["/a"]],
    ["differ in what only one has", { a: 1 }, { b: 1 }, ["/a", "/b"]],
    ["differ in an empty object and nothing", { a: {} }, {}, ["/a"]],
    ["differ in a list and an object", { a: [] }, { a: {} }, ["/a"]],
    ["differ in items of a list", [1, 2, 3], [1, 5, 4], ["/1", "/2"]],
    ["differ in the length of a list, as a whole", { a: [1, 2] }, { a: [2] }, ["/a"]],
    ["have slashes and tildes in names", { "a/b": { "c~d": 1 } }, {}, ["/a~1b"]],
    ["differ as a whole", "text", { a: 1 }, [""]],
  ])("%s", (_name, reference, pilotboat, paths) => {
    expect(compare(reference, pilotboat)).toEqual(paths);
    expect(compare(pilotboat, reference).sort()).toEqual([...paths].sort());
  });

  test("an area that one of them never came to is not compared", () => {
    expect(compareObservations({ node: 1, exit: 0 }, { exit: 1 })).toEqual([
      { area: "exit", path: "", reference: 0, pilotboat: 1 },
    ]);
  });
});

describe("a row of reasons", () => {
  const difference = (path: string): Difference => ({ area: "files", path, reference: "f 644", pilotboat: "f 600" });
  const explains = (reason: Partial<Reason> & Pick<Reason, "at">, path: string) =>
    explain([difference(path)], [{ name: "row", why: "", ...reason }])[0]?.reason !== undefined;

  test.each([
    ["files/*", "/a", true],
    ["files/*", "/a/b", false],
    ["files/*", "", false],
    ["files/**", "/a/b", true],
    ["files/a/*/c", "/a/b/c", true],
    ["files/a.b", "/axb", false],
    ["files", "", true],
    ["left/*", "/a", false],
  ])("for %s meets %j: %s", (at, path, expected) => {
    expect(explains({ at: [at] }, path)).toBe(expected);
  });

  test("explains only what its condition holds for", () => {
    expect(explains({ at: ["files/*"], when: ({ pilotboat }) => pilotboat === "f 600" }, "/a")).toBe(true);
    expect(explains({ at: ["files/*"], when: ({ pilotboat }) => pilotboat === undefined }, "/a")).toBe(false);
  });

  test("comes before the ones below it", () => {
    const rows = ["first", "second"].map((name) => ({ name, at: ["files/*"], why: "" }));
    expect(explain([difference("/a")], rows)[0]?.reason?.name).toBe("first");
  });
});
