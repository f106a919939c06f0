import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";

// On Node 24 an import of node:http, static or dynamic, loads the fetch library; the build turns it into a require.
test("no built file imports node:http, which would load the fetch library at every start", async () => {
  const folder = "dist/chunks";
  const files = [...(await readdir(folder)).map((name) => join(folder, name)), "dist/main.js", "dist/index.js"];
  const importing: string[] = [];
  let requiring = 0;
  for (const file of files) {
    const code = await readFile(file, "utf8");
    if (/\bimport\(\s*"node:http"\s*\)|\bfrom\s*"node:http"/.test(code)) importing.push(file);
    if (code.includes('require("node:http")')) requiring++;
  }
  expect(importing).toEqual([]);
  expect(requiring).toBeGreaterThan(0);
});
