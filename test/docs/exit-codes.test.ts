import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { FAULTS } from "../faults/table.ts";

const page = readFileSync("docs/exit-codes.md", "utf8");
const named = [...page.matchAll(/`(test\/[\w/.-]+\.test\.ts)`:\s+([^|)\n]+?)\s*(?:[|)]|$)/gm)].map(
  ([, file = "", name = ""]) => ({ file, name }),
);

test("every test that docs/exit-codes.md names is there", () => {
  expect(named.length).toBe(page.split("`test/").length - 1);
  const missing = named.filter(({ file, name }) => !readFileSync(file, "utf8").includes(`"${name}"`));
  expect(missing).toEqual([]);
});

test("every row that rests on a fault has the fault's exit code", () => {
  const rows = [...page.matchAll(/^\| ([^|]+) \| [^|]+ \| `test\/faults\/[^`]+`: ([^|]+) \|$/gm)];
  const told = rows.map(([, code = "", name = ""]) => [name, code] as const);
  for (const [name, code] of told) {
    const { exit } = FAULTS[name as keyof typeof FAULTS];
    if (/^\d+$/.test(code)) expect([name, String(exit)]).toEqual([name, code]);
    else if (code === "128 + signal") expect([name, exit]).toEqual([name, 139]);
    else expect([name, code, typeof exit]).toEqual([name, "Envoy's own", "number"]);
  }
  expect(told.length).toBeGreaterThan(10);
});

test("the codes of the architecture are all explained", () => {
  const explained = /^\| (\d+|Envoy's own|128 \+ signal) \|/gm;
  const codes = new Set([...page.matchAll(explained)].map(([, code]) => code));
  expect([...codes].sort()).toEqual(["0", "1", "128 + signal", "137", "2", "Envoy's own"]);
});
