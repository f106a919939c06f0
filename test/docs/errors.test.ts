import { expect, test } from "vitest";
import { ERROR_CATALOGUE } from "../../src/base/errors.ts";

// After a change to the catalogue: npx vitest run test/docs -u
test("docs/errors.md lists every code of the catalogue", async () => {
  const rows = Object.entries(ERROR_CATALOGUE)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([code, { kind, summary }]) => `| \`${code}\` | ${kind} | ${summary} |`);
  const page = [
    "# Errors",
    "",
    "Generated from `src/base/errors.ts`. The code stands in brackets at the end of the message. Kind `usage` ends the",
    "command with exit code 2, every other kind with 1.",
    "",
    "| code | kind | meaning |",
    "| --- | --- | --- |",
    ...rows,
    "",
  ].join("\n");
  await expect(page).toMatchFileSnapshot("../../docs/errors.md");
});
