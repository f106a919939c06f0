import { expect, test } from "vitest";
import { readProxyFlags } from "../../src/config/flags.ts";
import { readLogConfig } from "../../src/config/log-config.ts";
import { readSettings, SETTINGS } from "../../src/config/read-settings.ts";

const NONE = new Map<string, string>();

test.each<[string, string, unknown]>([
  ["PKCS8_KEY", "t", true],
  ["ISTIO_DELTA_XDS", "False", false],
  ["WORKLOAD_RSA_KEY_SIZE", "+4096", 4096],
  ["SECRET_GRACE_PERIOD_RATIO", ".25", 0.25],
  ["SECRET_GRACE_PERIOD_RATIO_JITTER", "1e-2", 0.01],
  ["SECRET_TTL", "1h30m", 5_400_000],
  ["FILE_DEBOUNCE_DURATION", "0", 0],
  ["WASM_INSECURE_REGISTRIES", " a:5000, b ,", ["a:5000", "b"]],
  ["PEER_METADATA_DISCOVERY", "false", false],
  ["PILOTBOAT_RESTART", "always", "always"],
  ["TRUST_DOMAIN", "", ""],
])("%s=%s is %j", (env, text, expected) => {
  const { settings, origins, warnings } = readSettings({ [env]: text }, NONE);
  expect(warnings).toEqual([]);
  expect(origins.get(env)).toEqual({ source: env });
  const [name] = SETTINGS.find(([, row]) => row.env === env) ?? [];
  expect(settings[name as keyof typeof settings]).toEqual(expected);
});

test.each([
  ["PKCS8_KEY", "yes", "expecting true/false, defaulting to false"],
  ["PKCS8_KEY", "", "expecting true/false, defaulting to false"],
  ["WORKLOAD_RSA_KEY_SIZE", "0x800", "expecting an integer, defaulting to 2048"],
  ["WORKLOAD_RSA_KEY_SIZE", "2048.0", "expecting an integer, defaulting to 2048"],
  ["WORKLOAD_RSA_KEY_SIZE", "99999999999999999999", "expecting an integer, defaulting to 2048"],
  ["ISTIO_CPU_LIMIT", "2147483648", "expecting an integer, defaulting to 0"],
  ["SECRET_GRACE_PERIOD_RATIO", "half", "expecting a floating-point value, defaulting to 0.5"],
  ["SECRET_GRACE_PERIOD_RATIO", "1e999", "expecting a floating-point value, defaulting to 0.5"],
  ["SECRET_TTL", "90", "expecting a duration, defaulting to 24h0m0s"],
  ["PILOTBOAT_RESTART", "maybe", "expecting never, on-failure, always, defaulting to never"],
])("%s=%j falls back with the reference's warning", (env, text, rest) => {
  const { warnings, origins } = readSettings({ [env]: text }, NONE);
  expect(warnings.map(({ message }) => message)).toEqual([`Invalid environment variable value \`${text}\`, ${rest}`]);
  expect(origins.get(env)).toBeUndefined();
});

function logOf(...args: string[]) {
  const problems: [] = [];
  return readLogConfig(readProxyFlags(args).flags, problems);
}

test("without logging flags every scope is at info, gRPC's own lines are off", () => {
  const log = logOf();
  expect(log).toMatchObject({ asJson: false, targets: ["stdout"] });
  expect([log.levels.get("grpc"), log.levels.get("default") ?? "info", log.callers.size]).toEqual(["none", "info", 0]);
  expect(log.stackLevels.get("default")).toBe("none");
});

test("logging flags name scopes, levels, callers, stack traces and targets", () => {
  const log = logOf(
    "--log_output_level=debug,sds:error,grpc:warn",
    "--log_stacktrace_level=ca:error",
    "--log_caller=ads,nosuch",
    "--vklog=3",
    "--log_as_json",
    "--log_target=stderr",
    "--log_target=a,b",
  );
  expect(Object.fromEntries(log.levels)).toMatchObject({ default: "debug", sds: "error", grpc: "warn", klog: "debug" });
  expect([...log.callers]).toEqual(["ads", "nosuch"]);
  expect(log.stackLevels.get("ca")).toBe("error");
  expect([log.asJson, log.targets]).toEqual([true, ["stderr", "a,b"]]);
});
