import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { findIstioctl, runIstioctl } from "../support/istioctl.ts";
import { runInProcess } from "../support/run-cli.ts";

// The tables were printed by istioctl. Where there is one it is asked again, so that they cannot grow old unseen.

const FOLDER = resolve("test/fixtures/proxy-config");
const istioctl = findIstioctl();

/** Words of istioctl; ours are the same but for the name of the part that shows what Envoy was told of endpoints. */
const CASES: readonly (readonly [name: string, ...words: string[]])[] = [
  ["clusters", "clusters", "dump.json"],
  ["clusters-fqdn", "clusters", "dump.json", "--fqdn", "reviews", "--port", "9080"],
  ["clusters-subset", "clusters", "dump.json", "--subset", "v2", "--direction", "outbound"],
  ["listeners", "listeners", "dump.json"],
  ["listeners-types", "listeners", "dump.json", "--verbose=false"],
  ["listeners-port", "listeners", "dump.json", "--port", "443", "--address", "10.0.0.1"],
  ["listeners-second-address", "listeners", "dump.json", "--address", "::", "--type", "http+tcp"],
  ["routes", "routes", "dump.json"],
  ["routes-counts", "routes", "dump.json", "--verbose=false"],
  ["routes-name", "routes", "dump.json", "--name", "443"],
  ["endpoints", "endpoints", "clusters.json"],
  ["endpoints-status", "endpoints", "clusters.json", "--status", "healthy", "--port", "80"],
  [
    "endpoints-cluster",
    "endpoints",
    "clusters.json",
    "--cluster",
    "XDS-grpc",
    "--address",
    "unix://./etc/istio/proxy/XDS",
  ],
  ["eds", "eds", "eds.json"],
  ["eds-address", "eds", "eds.json", "--address", "fd00::2:80", "--status", "HEALTHY"],
];

const ours = ([part = "", file = "", ...filters]: readonly string[]) =>
  runInProcess(["proxy-config", part === "eds" ? "endpoints" : part, "--file", join(FOLDER, file), ...filters], {
    cwd: FOLDER,
    env: {},
  });

test.each(CASES)("%s", async (name, ...words) => {
  const { code, stdout, stderr } = await ours(words);
  expect([code, stderr]).toEqual([0, ""]);
  await expect(stdout).toMatchFileSnapshot(join(FOLDER, `${name}.txt`));
});

describe.runIf(istioctl !== undefined)("istioctl itself", () => {
  test.each(CASES)("%s", async (_name, part = "", file = "", ...filters) => {
    const theirs = await runIstioctl(istioctl ?? "", ["proxy-config", part, "--file", join(FOLDER, file), ...filters]);
    expect((await ours([part, file, ...filters])).stdout).toBe(theirs);
  });

  test.each(["clusters", "listeners", "routes", "eds"])("%s as JSON and as YAML are its documents", async (part) => {
    const file = part === "eds" ? "eds.json" : "dump.json";
    const theirs = await runIstioctl(istioctl ?? "", [
      "proxy-config",
      part,
      "--file",
      join(FOLDER, file),
      "-o",
      "json",
    ]);
    expect(JSON.parse((await ours([part, file, "-o", "json"])).stdout)).toEqual(JSON.parse(theirs));
    expect(parse((await ours([part, file, "-o", "yaml"])).stdout)).toEqual(JSON.parse(theirs));
  });
});

test("what a dump says is no way into the terminal, and a shape that is none counts as absent", async () => {
  const { tableText, parseDump, showClusters } = await import("../../src/proxy-config/index.ts");
  const filter = { fqdn: "", port: 0, subset: "", direction: "" };
  const dump = (cluster: unknown) =>
    parseDump(
      JSON.stringify({
        configs: [7, { "@type": "x.ClustersConfigDump", static_clusters: [null, { cluster }, { cluster: [] }] }],
      }),
      "a test",
    );
  const { table } = showClusters(dump({ name: "a\u001b[2J\nb", type: 7, metadata: [] }), filter);
  expect(tableText(table).split("\n")).toHaveLength(3);
  expect(tableText(table)).not.toContain("\u001b");
  expect(() => showClusters(dump("none"), filter)).toThrow("No clusters found");
  expect(() => parseDump("[]", "a test")).toThrow("Cannot read a test: found neither");
  expect(() => parseDump("{", "a test")).toThrow("Cannot read a test: it is not JSON");
});
