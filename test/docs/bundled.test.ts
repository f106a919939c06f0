import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

const read = (file: string): string => readFileSync(file, "utf8");

/** From the bundler's metafile: scripts/build.mjs. */
const PACKAGES = JSON.parse(read("dist/bundled.json")) as readonly {
  readonly name: string;
  readonly version: string;
  readonly licence: string;
}[];

/** Licences that ask for no more than their text and notice. */
const ALLOWED = ["Apache-2.0", "MIT", "ISC", "BSD-2-Clause", "BSD-3-Clause", "0BSD"];

// After a change of what is bundled: npm run build && npx vitest run test/docs -u
test("hostile: docs/security.md lists what is bundled, with versions and licences", async () => {
  const rows = PACKAGES.map(({ name, version, licence }) => `| ${name} | ${version} | ${licence} |`);
  const table = ["| package | version | licence |", "| --- | --- | --- |", ...rows].join("\n");
  const page = read("docs/security.md");
  const expected = page.replace(/(?<=^## What is bundled\n[\s\S]*?\n\n)\| package [\s\S]*?(?=\n\n)/m, table);
  expect(expected).toContain(table);
  await expect(expected).toMatchFileSnapshot("../../docs/security.md");
});

test("hostile: each bundled package has a licence that lets us, and its text is delivered", () => {
  const notices = read("dist/THIRD-PARTY-NOTICES.txt").split(`\n${"-".repeat(80)}\n\n`);
  expect(notices).toHaveLength(PACKAGES.length);
  for (const [at, { name, version, licence }] of PACKAGES.entries()) {
    for (const one of licence.split(/ AND | OR /)) expect(ALLOWED, name).toContain(one);
    const [head = "", ...text] = (notices[at] ?? "").split("\n\n");
    expect(head).toBe(`${name} ${version} (${licence})`);
    expect(text.join("\n\n"), name).toContain("opyright");
  }
});

test("hostile: whoever installs the package gets no other package with it", () => {
  const { dependencies, optionalDependencies, peerDependencies } = JSON.parse(read("package.json"));
  expect([dependencies, optionalDependencies, peerDependencies]).toEqual([undefined, undefined, undefined]);
  const { devDependencies } = JSON.parse(read("package.json")) as { devDependencies: Record<string, string> };
  for (const [name, version] of Object.entries(devDependencies)) expect(version, name).toMatch(/^\d+\.\d+\.\d+$/);
});
