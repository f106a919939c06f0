import { expect, test } from "vitest";
import { readProxyFlags } from "../../src/config/flags.ts";
import { LOG_FLAGS, loadConfig, parseFlags } from "../../src/config/index.ts";

test.each<[string, string[], Record<string, unknown>, string[]]>([
  ["nothing", [], { concurrency: 0 }, []],
  ["both forms", ["--concurrency=2", "--domain", "x"], { concurrency: 2, domain: "x" }, []],
  ["a boolean takes no next word", ["--profiling", "false"], { profiling: true }, ["false"]],
  ["a boolean with =", ["--profiling=false", "router"], { profiling: false }, ["router"]],
  [
    "unknown flags before known ones",
    ["router", "--nope=1", "--alsoNope", "--log_as_json"],
    { log_as_json: true },
    ["router"],
  ],
  ["an unknown flag swallows the next word", ["--nope", "router"], {}, []],
  ["each unknown shorthand swallows a word", ["-xy", "router", "sidecar", "waypoint"], {}, ["waypoint"]],
  ["an unknown shorthand with =", ["-x=1", "router"], {}, ["router"]],
  ["-- ends the flags", ["--", "--domain", "x"], { domain: "" }, ["--domain", "x"]],
  ["a negative number is a value", ["--concurrency", "-1"], { concurrency: -1 }, []],
  ["an empty value", ["--domain", ""], { domain: "" }, []],
  ["removed flags survive", ["--controlPlaneAuthPolicy", "NONE", "router"], {}, ["router"]],
  ["targets collect", ["--log_target", "stdout", "--log_target", "stderr"], { log_target: ["stdout", "stderr"] }, []],
])("%s", (_name, args, flags, positionals) => {
  const reading = readProxyFlags(args);
  expect(reading.flags).toMatchObject(flags);
  expect(reading.positionals).toEqual(positionals);
  expect(reading.errors).toEqual([]);
});

test("a value that is no integer is named as Go names it", () => {
  expect(readProxyFlags(["--concurrency", "x"]).errors).toEqual([
    {
      flag: "--concurrency",
      message: 'invalid argument "x" for "--concurrency" flag: strconv.ParseInt: parsing "x": invalid syntax',
    },
  ]);
});

test("where unknown flags are not tolerated they are errors", () => {
  const { errors } = parseFlags(LOG_FLAGS, ["--typo", "-x"], { isLenient: false });
  expect(errors.map(({ message }) => message)).toEqual(["unknown flag: --typo", "unknown shorthand flag: 'x' in -x"]);
});

test.each([
  ["default,,", "invalid output level ''"],
  ["foobar", "invalid output level 'foobar'"],
  ["a:b:c", "invalid output level format 'a:b:c'"],
])("--log_output_level=%s is refused", async (level, message) => {
  const loading = loadConfig({ args: [`--log_output_level=${level}`], env: {}, cwd: "/" });
  await expect(loading).rejects.toThrow(message);
});

test("all sets every scope, items apply left to right, unknown scopes have no effect", async () => {
  const args = ["--log_output_level=default:debug,foobar:debug,all:info"];
  const { config } = await loadConfig({ args, env: {}, cwd: "/" });
  expect(config.log.levels.get("default")).toBe("info");
  expect(config.log.levels.get("grpc")).toBe("info");
});
