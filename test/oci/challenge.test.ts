import { expect, test } from "vitest";
import { parseChallenges } from "../../src/oci/challenge.ts";

test.each<[string, [scheme: string, parameters: Record<string, string>][]]>([
  [
    'Bearer realm="https://a/token",service="b c",scope="repository:x/y:pull,push"',
    [["bearer", { realm: "https://a/token", service: "b c", scope: "repository:x/y:pull,push" }]],
  ],
  ['Basic realm="a \\"quoted\\" one"', [["basic", { realm: 'a "quoted" one' }]]],
  [
    "BASIC REALM=x , Bearer realm = y",
    [
      ["basic", { realm: "x" }],
      ["bearer", { realm: "y" }],
    ],
  ],
  [
    "Negotiate, Basic realm=a",
    [
      ["negotiate", {}],
      ["basic", { realm: "a" }],
    ],
  ],
  ["", []],
  ['realm="nobody"', []],
  ['Bearer realm="unclosed', [["bearer", {}]]],
])("%j", (header, wanted) => {
  expect(parseChallenges(header).map(({ scheme, parameters }) => [scheme, { ...parameters }])).toEqual(wanted);
});

test("hostile: a name that objects inherit is an ordinary parameter, and a long header takes no time", () => {
  expect(parseChallenges('Bearer __proto__="x"')[0]?.parameters.realm).toBeUndefined();
  const startedMs = performance.now();
  parseChallenges(`Bearer ${'a="'.repeat(30_000)}`);
  parseChallenges(" ,".repeat(30_000));
  expect(performance.now() - startedMs).toBeLessThan(5_000);
});
