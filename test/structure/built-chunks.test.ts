import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";

// Node loads a CommonJS chunk faster than an ES module, and on Node 24 an import of node:http, static or
// dynamic, loads the fetch library: docs/decisions/0014-commonjs-bundle.md.
test("no built file goes through the loader of ES modules", async () => {
  const folder = "dist/chunks";
  const files = [...(await readdir(folder)).map((name) => join(folder, name)), "dist/main.js", "dist/index.js"];
  const importing: string[] = [];
  for (const file of files) {
    const code = await readFile(file, "utf8");
    if (/^\s*import\b|\bawait import\(|\breturn import\(/m.test(code)) importing.push(file);
  }
  expect(importing).toEqual([]);
  expect(files.length).toBeGreaterThan(50);
});
