import { describe, expect, test } from "vitest";
import {
  DEFAULT_PROXY_CONFIG,
  type DecodeSink,
  decodePresent,
  MESH_CONFIG,
  PROXY_CONFIG,
  protoName,
  proxyConfigFromJson,
  proxyConfigToJson,
} from "../../../src/istio/mesh/index.ts";

function decode(tree: Record<string, unknown>, schema = PROXY_CONFIG as Parameters<typeof decodePresent>[0]) {
  const wrong: string[] = [];
  const unknown: string[] = [];
  const sink: DecodeSink = {
    wrongType: (path, _found, wanted) => void wrong.push(`${path.join(".")}: ${wanted}`),
    unknownField: (path) => void unknown.push(path.join(".")),
  };
  return { present: decodePresent(schema, tree, [], sink), wrong, unknown };
}

const roundTrip = (tree: Record<string, unknown>) => proxyConfigToJson(proxyConfigFromJson(tree));

describe("what is accepted", () => {
  test.each<[string, Record<string, unknown>, Record<string, unknown>]>([
    ["snake_case names", { config_path: "a", k8s_x: 1 }, { configPath: "a" }],
    ["the camelCase name of two", { config_path: "b", configPath: "a" }, { configPath: "a" }],
    ["an integer in quotes", { statusPort: "15020" }, { statusPort: 15020 }],
    ["a double that is an integer", { statusPort: 4.0 }, { statusPort: 4 }],
    ["an enum by number", { interceptionMode: 1 }, { interceptionMode: "TPROXY" }],
    ["an unknown number of an enum", { controlPlaneAuthPolicy: 77 }, { controlPlaneAuthPolicy: 77 }],
    ["an enum with gaps", { controlPlaneAuthPolicy: 1000 }, { controlPlaneAuthPolicy: "INHERIT" }],
    [
      "a wrapper that is zero",
      { concurrency: 0, statsCompression: false },
      { concurrency: 0, statsCompression: false },
    ],
    [
      "an int64 wrapper as text",
      { tracing: { stackdriver: { maxNumberOfAttributes: "9223372036854775807" } } },
      { tracing: { stackdriver: { maxNumberOfAttributes: "9223372036854775807" } } },
    ],
    [
      "an int64 wrapper as bigint",
      { tracing: { stackdriver: { maxNumberOfAttributes: 9223372036854775807n } } },
      { tracing: { stackdriver: { maxNumberOfAttributes: "9223372036854775807" } } },
    ],
    ["a double in quotes", { tracing: { sampling: "1.5" } }, { tracing: { sampling: 1.5 } }],
    ["Infinity in quotes", { tracing: { sampling: "-Infinity" } }, { tracing: { sampling: "-Infinity" } }],
    [
      "durations of Go",
      { drainDuration: "1h30m", fileFlushInterval: ".5s" },
      { drainDuration: "5400s", fileFlushInterval: "0.500s" },
    ],
    [
      "signed durations",
      { drainDuration: "-1s", fileFlushInterval: "+5s" },
      { drainDuration: "-1s", fileFlushInterval: "5s" },
    ],
    ["a plain 0 duration", { drainDuration: "0" }, { drainDuration: "0s" }],
    ["an empty message", { tracing: {}, readinessProbe: { exec: {} } }, { tracing: {}, readinessProbe: { exec: {} } }],
    [
      "the last member of a oneof",
      { tracingServiceName: 0, serviceCluster: "a" },
      { tracingServiceName: "APP_LABEL_AND_NAMESPACE" },
    ],
    ["an explicit empty oneof member", { serviceCluster: "" }, { serviceCluster: "" }],
    ["null for a field", { configPath: null, tracing: null, concurrency: null }, {}],
    ["null in a map of strings", { proxyMetadata: { A: null } }, { proxyMetadata: { A: "" } }],
    ["null in a map of messages", { tracing: { customTags: { a: null } } }, { tracing: { customTags: { a: {} } } }],
    ["null in a list", { extraStatTags: ["a", null] }, { extraStatTags: ["a", ""] }],
    ["names of Object's own", { proxyMetadata: { constructor: "a" } }, { proxyMetadata: { constructor: "a" } }],
  ])("%s", (_name, tree, expected) => {
    expect(decode(tree).wrong).toEqual([]);
    expect(roundTrip(tree)).toEqual(expected);
  });
});

describe("what is refused", () => {
  test.each<[Record<string, unknown>, string]>([
    [{ configPath: 1 }, "configPath: a string"],
    [{ configPath: true }, "configPath: a string"],
    [{ proxyMetadata: { A: 1 } }, "proxyMetadata.A: a string"],
    [{ proxyMetadata: [] }, "proxyMetadata: a mapping"],
    [{ extraStatTags: "a" }, "extraStatTags: a list"],
    [{ extraStatTags: ["a", 1] }, "extraStatTags.1: a string"],
    [{ tracing: "x" }, "tracing: a mapping"],
    [{ statusPort: 4.5 }, "statusPort: a whole number"],
    [{ statusPort: true }, "statusPort: a whole number"],
    [{ statusPort: "" }, "statusPort: a whole number"],
    [{ statusPort: 2 ** 31 }, "statusPort: a whole number"],
    [{ statusPort: -(2 ** 31) - 1 }, "statusPort: a whole number"],
    [{ fileFlushMinSizeKb: -1 }, "fileFlushMinSizeKb: a whole number"],
    [{ fileFlushMinSizeKb: 2 ** 32 }, "fileFlushMinSizeKb: a whole number"],
    [
      { tracing: { stackdriver: { maxNumberOfAttributes: "9223372036854775808" } } },
      "tracing.stackdriver.maxNumberOfAttributes: a whole",
    ],
    [{ concurrency: { value: 4 } }, "concurrency: a whole number"],
    [{ statsCompression: "true" }, "statsCompression: true or false"],
    [{ statsCompression: 1 }, "statsCompression: true or false"],
    [{ interceptionMode: "redirect" }, "interceptionMode: one of REDIRECT"],
    [{ interceptionMode: 1.5 }, "interceptionMode: one of REDIRECT"],
    [{ interceptionMode: "constructor" }, "interceptionMode: one of REDIRECT"],
    [{ tracing: { sampling: Number.POSITIVE_INFINITY } }, "tracing.sampling: a number"],
    [{ tracing: { sampling: "much" } }, "tracing.sampling: a number"],
    ...["90", "1d", "5 s", "", "s", "1h-5m", "9999999999h"].map((text): [Record<string, unknown>, string] => [
      { drainDuration: text },
      "drainDuration: a duration",
    ]),
    [{ drainDuration: 90 }, "drainDuration: a duration"],
  ])("%j", (tree, expected) => {
    const { wrong } = decode(tree);
    expect(wrong).toHaveLength(1);
    expect(wrong[0]).toContain(expected);
  });
});

test("unknown fields are reported at any depth and passed over", () => {
  const tree = { connectTimeout: "1s", tracing: { zipkin: { adress: "a:1" } }, CONFIGPATH: "z" };
  expect(decode(tree).unknown).toEqual(["tracing.zipkin.adress", "connectTimeout", "CONFIGPATH"]);
});

test("zero values without presence are left out of the JSON", () => {
  expect(
    roundTrip({ controlPlaneAuthPolicy: "NONE", statusPort: 0, extraStatTags: [], proxyMetadata: {}, meshId: "" }),
  ).toEqual({});
});

test("a configuration survives its own JSON", () => {
  expect(proxyConfigFromJson(proxyConfigToJson(DEFAULT_PROXY_CONFIG))).toEqual(DEFAULT_PROXY_CONFIG);
});

test("values are frozen all the way down", () => {
  const config = proxyConfigFromJson({
    extraStatTags: ["a"],
    proxyMetadata: { A: "b" },
    tracing: { customTags: { a: { literal: { value: "v" } } } },
  });
  const parts = [
    config,
    config.extraStatTags,
    config.proxyMetadata,
    config.runtimeValues,
    config.tracing,
    config.tracing?.customTags,
  ];
  expect(parts.every(Object.isFrozen)).toBe(true);
});

test("a mesh file's fields are known by both of their names", () => {
  expect(protoName("http2InitialStreamWindowSize")).toBe("http2_initial_stream_window_size");
  const { unknown, wrong } = decode(
    { mesh_mTLS: { ecdhCurves: [] }, meshMTLS: {}, extension_providers: [{ name: "x" }] },
    MESH_CONFIG,
  );
  expect([unknown, wrong]).toEqual([[], []]);
});
