import { expect, test } from "vitest";
import { LOG_FLAGS, readProxyFlags } from "../../src/config/flags.ts";
import { formatProblem, loadConfig, parseFlags } from "../../src/config/index.ts";

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
  ["the last of unknown shorthands swallows a word", ["-xy", "router", "sidecar"], {}, ["sidecar"]],
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

test("an unknown flag that looks like one of ours is a warning, others are passed over in silence", async () => {
  const args = ["--runfolder", "x", "--controlPlaneAuthPolicy", "NONE", "-x"];
  const { warnings } = await loadConfig({ args, env: { POD_NAMESPACE: "a", SERVICE_ACCOUNT: "b" }, cwd: "/dev/null" });
  expect(warnings.map(formatProblem)).toEqual(['--runfolder: unknown flag, ignored. Did you mean "--run-folder"?']);
});

test("a mesh file that is named and not there is a warning", async () => {
  const env = { POD_NAMESPACE: "a", SERVICE_ACCOUNT: "b" };
  const { warnings } = await loadConfig({ args: ["--meshConfig", "gone"], env, cwd: "/dev/null" });
  expect(warnings.map(formatProblem)).toEqual([
    '--meshConfig: there is no file "gone", so there is no mesh configuration',
  ]);
  expect((await loadConfig({ args: [], env, cwd: "/dev/null" })).warnings).toEqual([]);
});

const SHORT = [
  { name: "output", shorthand: "o", type: "string", default: "", help: "" },
  { name: "short", shorthand: "s", type: "bool", default: false, help: "" },
  { name: "count", shorthand: "n", type: "int", default: 0, help: "" },
] as const;

test.each<[string, string[], Record<string, unknown>, string[]]>([
  ["a value after a space", ["-o", "json", "x"], { output: "json" }, ["x"]],
  ["a value that is attached", ["-ojson", "x"], { output: "json" }, ["x"]],
  ["a value after =", ["-o=json"], { output: "json" }, []],
  ["a last letter that is known and takes nothing", ["-ss", "x"], { short: true }, ["x"]],
  ["several letters", ["-so", "json"], { short: true, output: "json" }, []],
  ["a boolean with =", ["-s=false"], { short: false }, []],
  ["integers in other bases", ["-n", "0x1F", "--count=1_000"], { count: 1000 }, []],
  ["a lone dash", ["-", "-s"], { short: true }, ["-"]],
  ["an empty word", [""], {}, [""]],
])("short flags: %s", (_name, args, given, positionals) => {
  const parsed = parseFlags(SHORT, args, { isLenient: false });
  expect(Object.fromEntries(parsed.given)).toEqual(given);
  expect(parsed.positionals).toEqual(positionals);
  expect(parsed.errors).toEqual([]);
});

test.each([
  [["-x"], "unknown shorthand flag: 'x' in -x"],
  [["-sx"], "unknown shorthand flag: 'x' in -x"],
  [["-o"], "flag needs an argument: 'o' in -o"],
  [["--output"], "flag needs an argument: --output"],
  [["--=x"], "bad flag syntax: --=x"],
  [["---x"], "bad flag syntax: ---x"],
  [
    ["--short=maybe"],
    'invalid argument "maybe" for "-s, --short" flag: strconv.ParseBool: parsing "maybe": invalid syntax',
  ],
  [
    ["--count", "99999999999999999999"],
    'invalid argument "99999999999999999999" for "-n, --count" flag: strconv.ParseInt: parsing "99999999999999999999": value out of range',
  ],
])("%j is refused as pflag refuses it", (args, message) => {
  expect(parseFlags(SHORT, args, { isLenient: false }).errors.map((error) => error.message)).toEqual([message]);
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
