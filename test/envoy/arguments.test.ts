import { expect, test } from "vitest";
import { splitLogLevel } from "../../src/envoy/arguments.ts";
import { type ArgumentsOptions, envoyArguments, envoyEnvironment, featuresOf } from "../../src/envoy/index.ts";

const DEFAULTS: ArgumentsOptions = {
  configFile: "etc/istio/proxy/envoy-rev.json",
  drainSeconds: 45,
  isIpv6Only: false,
  fileFlushIntervalMs: undefined,
  fileFlushMinSizeKb: 0,
  logLevel: "warning",
  componentLogLevel: "",
  skipDeprecatedLogs: true,
  isCoreDumpEnabled: false,
  configOverlay: "",
  concurrency: 0,
  isHotRestart: false,
};

const line = (options: Partial<ArgumentsOptions>, version = "1.40.0") =>
  envoyArguments({ ...DEFAULTS, ...options }, featuresOf(version)).list.join(" ");

test("the defaults are pilot-agent's, in its order", () => {
  expect(line({})).toBe(
    "-c etc/istio/proxy/envoy-rev.json --drain-time-s 45 --drain-strategy immediate --local-address-ip-version v4 --file-flush-interval-msec 1000 --disable-hot-restart --allow-unknown-static-fields -l warning --skip-deprecated-logs",
  );
});

test("everything that is asked for stands in its place", () => {
  const options = {
    logLevel: "trace",
    componentLogLevel: "misc:error",
    fileFlushIntervalMs: 10_000,
    fileFlushMinSizeKb: 128,
    configOverlay: '{"key":"value"}',
    concurrency: 8,
    skipDeprecatedLogs: false,
  };
  expect(line(options)).toMatch(
    /--file-flush-interval-msec 10000 --disable-hot-restart --allow-unknown-static-fields --file-flush-min-size-kb 128 -l trace --component-log-level misc:error --config-yaml \{"key":"value"\} --concurrency 8$/,
  );
});

test("with hot restart it is not switched off", () => {
  const text = line({ isHotRestart: true, isIpv6Only: true });
  expect(text).toContain("--local-address-ip-version v6");
  expect(text).not.toContain("--disable-hot-restart");
});

test.each([
  ["1.36.4", false],
  ["1.37.0", true],
  ["1.38.3", true],
  ["1.40.0", true],
  [undefined, true],
])("Envoy %s gets only the flags that it knows", (version, isKnown) => {
  const { list, warnings } = envoyArguments({ ...DEFAULTS, fileFlushMinSizeKb: 1 }, featuresOf(version));
  expect(list.includes("--file-flush-min-size-kb")).toBe(isKnown);
  expect(warnings).toHaveLength(isKnown ? 0 : 1);
});

test.each([
  ["info,misc:error", "", { level: "info", components: "misc:error", dropped: [] }],
  ["misc:warn,info,upstream:debug", "", { level: "info", components: "misc:warn,upstream:debug", dropped: [] }],
  ["info,warn", "", { level: "warn", components: "", dropped: [] }],
  ["a:b:c", "x:y", { level: "", components: "x:y", dropped: ["a:b:c"] }],
  ["misc:error", "x:y", { level: "", components: "misc:error", dropped: [] }],
  ["", "", { level: "", components: "", dropped: [] }],
])("log level %j with components %j", (level, components, expected) => {
  expect(splitLogLevel(level, components)).toEqual(expected);
});

test("the two FIPS policies limit the ciphers of Envoy's gRPC", () => {
  expect(envoyEnvironment({ A: "b" }, "")).toEqual({ A: "b" });
  expect(envoyEnvironment({}, "fips-140-2").GRPC_SSL_CIPHER_SUITES).toMatch(/^ECDHE-ECDSA-AES128-GCM-SHA256:/);
});
