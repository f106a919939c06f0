import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { runCommand } from "../../src/cli/contract/index.ts";
import { command } from "../../src/cli/proxy.ts";
import { ALL_FLAGS } from "../../src/config/flags.ts";
import { CATALOGUE } from "../../src/config/index.ts";

test("--help names every flag, and every variable that has an effect", async () => {
  const stdout = new PassThrough({ encoding: "utf8" });
  const never = new AbortController().signal;
  const signals = { stop: never, hurry: never, force: never };
  expect(await runCommand(command, ["--help"], { env: {}, cwd: "/", stdout, stderr: new PassThrough(), signals })).toBe(
    0,
  );
  const text = String(stdout.read());
  for (const { name } of ALL_FLAGS) expect(text).toContain(`  --${name} `);
  const shown = [...text.matchAll(/^ {4}([A-Z][A-Z0-9_]+) {2}/gm)].map(([, name]) => name);
  const active = Object.values(CATALOGUE).filter((row) => !("withoutEffect" in row));
  expect(shown.sort()).toEqual(active.map(({ env }) => env).sort());
});
