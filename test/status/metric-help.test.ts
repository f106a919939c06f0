import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { helpOf } from "../../src/status/metric-help.ts";

test("every metric that the code counts has a help text", () => {
  const code = readdirSync("src", { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .map((file) => readFileSync(join("src", file), "utf8"))
    .join("\n");
  const names = [...code.matchAll(/\.(?:count|gauge|observe)\(\s*"(\w+)"/g)].map(([, name = ""]) => name);
  expect(names).toContain("num_outgoing_requests");
  expect([...new Set(names)].filter((name) => helpOf(name) === undefined)).toEqual([]);
});
