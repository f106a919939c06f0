import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { runInProcess } from "../support/run-cli.ts";

let cwd: string;
beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), "pb-config-cli-"));
});
afterEach(() => rm(cwd, { recursive: true, force: true }));

const IDENTITY = { POD_NAMESPACE: "shop", SERVICE_ACCOUNT: "web" };

const pilotboat = (args: readonly string[], env: Readonly<Record<string, string>> = {}) =>
  runInProcess(args, { cwd, env: { ...IDENTITY, ...env } });

const BROKEN = [
  "drainDuration: 90",
  "proxyAdminPort: 99999",
  "proxyMetadata:",
  "  A: 1",
  "concurrency: many",
  "discoveryAddress: nohost",
].join("\n");

test("five mistakes in PROXY_CONFIG are five blocks with lines and columns, and exit code 2", async () => {
  const { code, stdout, stderr } = await pilotboat(["config"], { PROXY_CONFIG: BROKEN });
  expect([code, stdout]).toEqual([2, ""]);
  expect(stderr).toContain("Error: The configuration has 5 problems [CONFIG_INVALID]\n");
  expect([...stderr.matchAll(/^ {2}(PROXY_CONFIG:\d+:\d+): (.*)$/gm)].map(([, place, name]) => [place, name])).toEqual([
    ["PROXY_CONFIG:1:16", "drainDuration"],
    ["PROXY_CONFIG:2:17", "proxyAdminPort"],
    ["PROXY_CONFIG:4:6", "proxyMetadata.A"],
    ["PROXY_CONFIG:5:14", "concurrency"],
    ["PROXY_CONFIG:6:19", "discoveryAddress"],
  ]);
});

test("what is suspicious in the same document is told with the problems", async () => {
  const { stderr } = await pilotboat(["config"], { PROXY_CONFIG: "discoveryAdress: a:1\nstatusPort: x" });
  expect(stderr).toBe(
    [
      "Error: The configuration has 1 problem [CONFIG_INVALID]",
      "  PROXY_CONFIG:2:13: statusPort",
      '    found "x", wanted a whole number',
      "and 1 warning",
      "  PROXY_CONFIG:1:18: discoveryAdress",
      "    unknown field, ignored",
      '    hint: Did you mean "discoveryAddress"?',
      "",
    ].join("\n"),
  );
});

test("a role that does not exist is refused with the reference's text", async () => {
  const { code, stderr } = await pilotboat(["config", "foo"]);
  expect(code).toBe(2);
  expect(stderr).toContain("invalid proxy Type: foo");
});

const WORDS: readonly string[] = ["config", "router", "--concurrency", "3", "--log_target=stdout"];
const ENV = {
  PROXY_CONFIG: '{"drainDuration":"30s","proxyMetadata":{"DB_PASSWORD":"hunter2","A":"b"},"meshId":"a # b"}',
  XDS_HEADER_Authorization: "Bearer hunter2",
  XDS_HEADER_tenant: "blue",
  ISTIO_META_API_KEY: "hunter2",
  ISTIO_META_MY_TOKEN: "hunter2",
  ISTIO_METAJSON_X: '{"signing":{"secretKey":"hunter2","size":1},"apiToken":"hunter2"}',
  ISTIO_METAJSON_BROKEN: '{"token":"hunter2"',
  SECRET_TTL: "1h",
};

test("the effective configuration is YAML; what is not at its default names its origin and the default", async () => {
  const { code, stdout, stderr } = await pilotboat(WORDS, ENV);
  expect(code).toBe(0);
  expect(stderr).toMatch(/^warning: PROXY_CONFIG:1:24: proxyMetadata: without effect here: DB_PASSWORD, A\. .*\n/);
  expect(parse(stdout)).toMatchObject({
    role: "router",
    proxyConfig: { drainDuration: "30s", concurrency: 3, statusPort: 15020, meshId: "a # b" },
    flags: { "--concurrency": 3, "--proxyLogLevel": "warning", "--log_target": ["stdout"] },
    variables: { SECRET_TTL: "1h0m0s", TRUST_DOMAIN: "cluster.local" },
    headers: { XDS_HEADER_tenant: "blue" },
  });
  expect(stdout).toContain("  drainDuration: 30s  # PROXY_CONFIG:1:18, default 45s\n");
  expect(stdout).toContain("  concurrency: 3  # --concurrency, default none\n");
  expect(stdout).toContain("  SECRET_TTL: 1h0m0s  # SECRET_TTL, default 24h0m0s\n");
  expect(stdout).toContain("  statusPort: 15020\n");
});

test.each([[["-o", "json"]], [["--output=json"]], [["-ojson"]]])("%j is one object by name", async (output) => {
  const { stdout } = await pilotboat([...WORDS, ...output], ENV);
  expect(JSON.parse(stdout)).toMatchObject({
    role: { value: "router", origin: "command line", default: "sidecar" },
    drainDuration: { value: "30s", origin: "PROXY_CONFIG:1:18", default: "45s" },
    statusPort: { value: 15020, origin: "default", default: 15020 },
    "--concurrency": { value: 3, origin: "--concurrency", default: 0 },
    XDS_HEADER_tenant: { value: "blue", origin: "XDS_HEADER_tenant", default: null },
  });
});

test("no form shows a secret", async () => {
  const annotation = 'proxy.istio.io/config="tracing: {lightstep: {address: \\"l:1\\", accessToken: hunter2}}"\n';
  await mkdir(join(cwd, "etc/istio/pod"), { recursive: true });
  await writeFile(join(cwd, "etc/istio/pod/annotations"), annotation);
  const forms = [
    WORDS,
    [...WORDS, "-o", "json"],
    ["config", "explain", "tracing"],
    ["config", "explain", "proxyMetadata"],
    ["config", "explain", "ISTIO_METAJSON_X"],
    ["config", "node"],
    ["config", "node", "-o", "json"],
  ];
  for (const args of forms) {
    const { code, stdout, stderr } = await pilotboat(args, ENV);
    expect(code).toBe(0);
    expect(stdout + stderr).not.toContain("hunter2");
    expect(stdout).toContain("[hidden]");
  }
});

test("an output that does not exist is a usage error", async () => {
  expect(await pilotboat(["config", "-o", "xml"])).toMatchObject({ code: 2, stdout: "" });
});

test("warnings go to stderr", async () => {
  const { code, stderr } = await pilotboat(["config"], { PROXY_CONFIG: "drainDuraton: 1s", SECRET_TTL: "soon" });
  expect(code).toBe(0);
  expect(stderr).toContain(
    'warning: PROXY_CONFIG:1:15: drainDuraton: unknown field, ignored. Did you mean "drainDuration"?',
  );
  expect(stderr).toContain("warning: SECRET_TTL: Invalid environment variable value `soon`");
});

describe("config explain", () => {
  test("names every layer of a field", async () => {
    await mkdir(join(cwd, "etc/istio/config"), { recursive: true });
    await writeFile(join(cwd, "etc/istio/config/mesh"), "defaultConfig:\n  concurrency: 1\n");
    const words = ["config", "explain", "concurrency", "--concurrency", "3"];
    const { stdout } = await pilotboat(words, { PROXY_CONFIG: "concurrency: 2" });
    expect(stdout).toContain("concurrency: field of ProxyConfig\n");
    expect(stdout).toMatch(/default +none\n +value +3\n/);
    expect(stdout).toMatch(
      /set by +\.\/etc\/istio\/config\/mesh:2:16 +1\n +then by +PROXY_CONFIG:1:14 +2\n +then by +--concurrency +3\n/,
    );
  });

  test("knows variables and the flags that beat them", async () => {
    const words = ["config", "explain", "PILOTBOAT_STOP_DEADLINE", "--stop-deadline", "5s"];
    const { stdout } = await pilotboat(words, { PILOTBOAT_STOP_DEADLINE: "4s" });
    expect(stdout).toMatch(/value +5s\n +set by +PILOTBOAT_STOP_DEADLINE\n +then by +--stop-deadline\n/);
  });

  test.each([
    ["PILOTBOAT_RESTART", "never", ["of run +on-failure", "of up +on-failure"]],
    ["MINIMUM_DRAIN_DURATION", "5s", ["of run +0s"]],
    ["terminationDrainDuration", "5s", ["of up +0s"]],
    ["statusPort", "15020", ["of run +a free port, outside a pod", "of up +a free port"]],
    ["log_target", '\\["stdout"\\]', ["of run +stderr"]],
    ["drainDuration", "45s", []],
  ])("tells the defaults of run and up beside that of proxy: %s", async (name, usual, others) => {
    const { stdout } = await pilotboat(["config", "explain", name]);
    const lines = [`default +${usual}`, ...others, "value .*"].map((line) => ` +${line}\n`);
    expect(stdout).toMatch(new RegExp(lines.join("")));
  });

  test.each(["--domain", "domain"])("knows the flag %s", async (name) => {
    expect((await pilotboat(["config", "explain", name])).stdout).toContain("--domain: flag of proxy\n");
  });

  test("an unknown name gets the nearest one", async () => {
    const { code, stderr } = await pilotboat(["config", "explain", "drainDuratio"]);
    expect(code).toBe(2);
    expect(stderr).toContain('Did you mean "drainDuration"?');
  });

  test("still says what a name means when the configuration is broken", async () => {
    const { code, stdout } = await pilotboat(["config", "explain", "drainDuration"], { PROXY_CONFIG: BROKEN });
    expect(code).toBe(0);
    expect(stdout).toMatch(/default +45s\n +value +unknown: the configuration has 5 problems/);
  });
});

describe("config substitute", () => {
  test("prints the file with variables replaced", async () => {
    await writeFile(join(cwd, "t"), "a: ${POD_NAMESPACE}\nb: $SERVICE_ACCOUNT$NONE ${X:-y}\n");
    expect(await pilotboat(["config", "substitute", "t"])).toMatchObject({
      code: 0,
      stdout: "a: shop\nb: web ${X:-y}\n",
    });
  });

  test("a file that is not there is an error with its name", async () => {
    const { code, stderr } = await pilotboat(["config", "substitute", "gone"]);
    expect(code).toBe(2);
    expect(stderr).toContain(`Cannot find the file "${join(cwd, "gone")}"`);
  });

  test.each([[["config", "substitute"]], [["config", "substitute", "a", "b"]]])("%j is a usage error", async (args) => {
    expect((await pilotboat(args)).code).toBe(2);
  });
});

test("flags may stand before the command", async () => {
  const { code, stdout } = await pilotboat(["--log_as_json", "config"]);
  expect(code).toBe(0);
  expect(stdout).toContain("  --log_as_json: true  # --log_as_json, default false\n");
});

test("--help has examples", async () => {
  expect((await pilotboat(["config", "--help"])).stdout).toContain("Examples:");
});
