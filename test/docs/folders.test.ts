import { existsSync, readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

test("bootstrap-templates/README.md has a row for every template, and names no file that is not there", () => {
  const text = readFileSync("bootstrap-templates/README.md", "utf8");
  const named = [...text.matchAll(/`([^`\s]+\.(?:json|ts))`/g)].map(([, name = ""]) => name);
  for (const name of named.filter((one) => one.startsWith("src/"))) expect(existsSync(name), name).toBe(true);
  const patterns = named.filter((one) => one.endsWith(".json")).map(patternOf);
  const templates = readdirSync("bootstrap-templates", { recursive: true, encoding: "utf8" }).filter((file) =>
    file.endsWith(".json"),
  );
  expect(templates.filter((file) => !patterns.some((pattern) => pattern.test(file)))).toEqual([]);
  expect(patterns.filter((pattern) => !templates.some((file) => pattern.test(file)))).toEqual([]);
});

test("bench/README.md has a row for every benchmark", () => {
  const text = readFileSync("bench/README.md", "utf8");
  const rows = [...text.matchAll(/^\| `(\w+)` +\|/gm)].map(([, name = ""]) => `${name}.ts`);
  expect(rows.sort()).toEqual(
    readdirSync("bench")
      .filter((file) => file.endsWith(".ts"))
      .sort(),
  );
});

/** `{a,b}` and `*` as a shell has them. */
function patternOf(name: string): RegExp {
  const source = name
    .replaceAll(".", "\\.")
    .replaceAll("*", "[^/]*")
    .replace(/\{([^}]*)\}/g, (_, list: string) => `(?:${list.replaceAll(",", "|")})`);
  return new RegExp(`^${source}$`);
}
