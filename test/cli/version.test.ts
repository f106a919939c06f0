import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { runCommand } from "../../src/cli/contract/index.ts";
import { command } from "../../src/cli/version.ts";
import { VERSION } from "../../src/version.ts";
import { runInProcess } from "../support/run-cli.ts";

const never = new AbortController().signal;

async function version(...args: readonly string[]): Promise<string> {
  const stdout = new PassThrough({ encoding: "utf8" });
  const signals = { stop: never, hurry: never, force: never };
  expect(await runCommand(command, args, { env: {}, cwd: "/", stdout, stderr: new PassThrough(), signals })).toBe(0);
  return String(stdout.read());
}

const JSON_FORM = {
  clientVersion: {
    version: VERSION,
    revision: "unknown",
    golang_version: "unknown",
    status: "unknown",
    tag: "unknown",
  },
};

test.each([
  [["--short"], `client version: ${VERSION}\n`],
  [["-s", "--log_as_json", "ignored"], `client version: ${VERSION}\n`],
  [["-o", "json"], `${JSON.stringify(JSON_FORM, null, 2)}\n`],
  [["-s", "--output=json"], `${JSON.stringify(JSON_FORM, null, 2)}\n`],
  [
    ["-oyaml"],
    `clientVersion:\n  golang_version: unknown\n  revision: unknown\n  status: unknown\n  tag: unknown\n  version: ${VERSION}\n\n`,
  ],
])("version %j", async (args, expected) => {
  expect(await version(...args)).toBe(expected);
});

test("for people: runtime and Envoy as well, and nothing that is not known", async () => {
  const text = await version();
  expect(text).toMatch(new RegExp(`^pilotboat +${VERSION}\nNode +${process.versions.node}\nEnvoy +\\S.*\n$`));
  expect(text).not.toContain("unknown");
});

test.each([
  [["--typo"], "unknown flag: --typo"],
  [["-x"], "unknown shorthand flag: 'x' in -x"],
  [["-o", "xml"], "--output must be 'yaml' or 'json'"],
  [["--remote"], "unknown flag: --remote"],
])("version %j is refused", async (args, message) => {
  await expect(version(...args)).rejects.toMatchObject({ code: "USAGE", message });
});

test.each(["--version", "-v"])("pilotboat %s is the version alone", async (flag) => {
  expect(await runInProcess([flag], { cwd: "/", env: {} })).toEqual({ code: 0, stdout: `${VERSION}\n`, stderr: "" });
});

test("--help has examples", async () => {
  expect(await version("-h")).toContain("Examples:");
});
