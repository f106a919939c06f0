import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { FAULTS } from "../faults/table.ts";

// After a change to the faults: npm run build && npm run reliability
test("docs/reliability.md and the tests of test/faults/ have the same rows", () => {
  const tested = readdirSync("test/faults")
    .filter((file) => file.endsWith(".test.ts"))
    .flatMap((file) => [...readFileSync(`test/faults/${file}`, "utf8").matchAll(/^ *fault\(\s*"([^"]+)"/gm)])
    .map(([, name = ""]) => name);
  const expected = tested.map((name) => {
    const row = FAULTS[name as keyof typeof FAULTS];
    const exit = row.exit === "none" ? "–" : String(row.exit);
    return [name, row.agent, row.traffic, exit].join(" | ");
  });
  const page = readFileSync("docs/reliability.md", "utf8");
  const rows = [...page.matchAll(/^\| (?!fault |---)(.+ \| .+ \| .+ \| .+) \| .+ \|$/gm)].map(([, row = ""]) => row);
  const lowerFirst = (row: string): string =>
    row.startsWith("Envoy") ? row : row.charAt(0).toLowerCase() + row.slice(1);
  expect(rows.map(lowerFirst).sort()).toEqual([...expected].sort());
  expect([...tested].sort()).toEqual(Object.keys(FAULTS).sort());
});
