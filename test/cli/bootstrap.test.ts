import { lstat, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { realEnvoy } from "../support/real-envoy.ts";
import { runInProcess } from "../support/run-cli.ts";

let cwd: string;
beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), "pb-bootstrap-cli-"));
});
afterEach(() => rm(cwd, { recursive: true, force: true }));

const IDENTITY = { PATH: process.env.PATH, HOME: process.env.HOME, POD_NAMESPACE: "shop", SERVICE_ACCOUNT: "web" };
const pilotboat = (args: readonly string[], env: Readonly<Record<string, string>> = {}) =>
  runInProcess(args, { cwd, env: { ...IDENTITY, ...env } });

/** As a crash leaves it: closing removes the name that the socket was bound to, not the one that it has now. */
async function leaveDeadSocket(path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const server = createServer();
  await new Promise<void>((done) => server.listen(`${path}.first`, done));
  await rename(`${path}.first`, path);
  await new Promise((done) => server.close(done));
}

test("looking changes nothing: files at the places of sockets stay", async () => {
  const credentials = join(cwd, "var/run/secrets/credential-uds/socket");
  const workload = join(cwd, "var/run/secrets/workload-spiffe-uds/socket");
  await leaveDeadSocket(credentials);
  await mkdir(dirname(workload), { recursive: true });
  await writeFile(workload, "mine");
  for (const args of [["bootstrap", "render"], ["config"], ["config", "node"]]) {
    expect(await pilotboat(args)).toMatchObject({ code: 0 });
  }
  expect((await lstat(credentials)).isSocket()).toBe(true);
  expect(await readFile(workload, "utf8")).toBe("mine");
});

test("a customConfigFile is what Envoy gets: no template is looked at", async () => {
  const own = "node: {id: mine}\n";
  await writeFile(join(cwd, "own.yaml"), own);
  await writeFile(join(cwd, "broken.json"), "{{ nosuch }}");
  const env = { PROXY_CONFIG: "customConfigFile: own.yaml", ISTIO_BOOTSTRAP: "broken.json" };
  expect(await pilotboat(["bootstrap", "render"], env)).toMatchObject({ code: 0, stdout: own });
  const gone = await pilotboat(["bootstrap", "render"], { PROXY_CONFIG: "customConfigFile: gone.json" });
  expect(gone).toMatchObject({ code: 1, stdout: "" });
  expect(gone.stderr).toContain('Cannot read customConfigFile "gone.json"');
});

const STOCK = { ENVOY_BIN: await realEnvoy(), INSTANCE_IP: "127.0.0.1", CLOUD_PLATFORM: "none" };

test("validate: a YAML template's text reaches Envoy as YAML, with its complaints", async () => {
  await writeFile(join(cwd, "t.yaml"), "node: {id: '{{ .nodeID }}', cluster: c}\n");
  const env = { ...STOCK, ISTIO_BOOTSTRAP: "t.yaml" };
  expect(await pilotboat(["bootstrap", "validate"], env)).toMatchObject({ code: 0 });
  await writeFile(join(cwd, "t.yaml"), "node: {id: a, cluster: c}\nadmin: {nope: 1}\nstats_flush_interval: 0s\n");
  const { code, stdout } = await pilotboat(["bootstrap", "validate"], env);
  expect(code).toBe(1);
  expect(stdout).toContain("value must be");
});

test("validate: OK is one word; with -v, and when Envoy refuses, come its own lines", async () => {
  const short = await pilotboat(["bootstrap", "validate"], STOCK);
  expect(short).toMatchObject({ code: 0, stdout: "OK\n" });
  const { code, stdout } = await pilotboat(["bootstrap", "validate", "-v"], STOCK);
  expect(code).toBe(0);
  expect(stdout).toMatch(/configuration '.*' OK/);
  await writeFile(join(cwd, "t.yaml"), "node: {id: a, cluster: c}\nadmin: {nope: 1}\n");
  const passedOver = await pilotboat(["bootstrap", "validate"], { ...STOCK, ISTIO_BOOTSTRAP: "t.yaml" });
  expect(passedOver.stdout).toMatch(/Unknown field.*nope.*\nOK\n$/);
});

test("diff: long values are shown around what differs", async () => {
  const write = (file: string, end: string) =>
    writeFile(join(cwd, file), JSON.stringify({ same: 1, lua: `${"x".repeat(900)}${end}${"y".repeat(900)}` }));
  await write("a.json", "before");
  await write("b.json", "after");
  const { stdout } = await pilotboat(["bootstrap", "diff", "a.json", "b.json"]);
  expect(stdout).toMatch(/^~ lua: …x+beforey+… \(1808 characters\) -> …x+aftery+… \(1807 characters\)\n$/);
  expect(stdout.length).toBeLessThan(500);
});

test.each([
  [["bootstrap", "rendr"], 'Unknown sub-command "rendr" [USAGE]', 'Did you mean "render"?'],
  [["config", "xplain"], 'Unknown sub-command "xplain" [USAGE]', 'Did you mean "explain"?'],
  [["config", "substitute", "gone"], "Cannot find the file", "(the file to substitute in)"],
  [["config", "explain"], "Missing name of a variable", 'See "pilotboat config explain --help"'],
])("%j is a mistyped command line", async (args, ...expected) => {
  const { code, stdout, stderr } = await pilotboat(args);
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  for (const text of expected) expect(stderr).toContain(text);
});

/** Flags of Istio's older releases, as deployments still have them. */
const OLD_FLAGS: readonly string[] = [
  ...["--configPath", "/etc/istio/proxy", "--binaryPath", "/usr/local/bin/envoy", "--drainDuration", "45s"],
  ...["--parentShutdownDuration", "1m0s", "--discoveryAddress=istio-pilot:15010", "--connectTimeout", "10s"],
  ...["--proxyAdminPort", "15000", "--controlPlaneAuthPolicy", "NONE", "--trust-domain=cluster.local", "-x"],
];

test.each([
  [["bootstrap", "render", "router", ...OLD_FLAGS]],
  [["bootstrap", ...OLD_FLAGS]],
  [["bootstrap", "validate", ...OLD_FLAGS]],
  [["config", "router", ...OLD_FLAGS]],
  [["config", "node", ...OLD_FLAGS]],
  [["config", "explain", "drainDuration", ...OLD_FLAGS]],
])("reality 12: old flags that proxy passes over pass here, with a warning each (%#)", async (args) => {
  const { code, stdout, stderr } = await pilotboat(args, STOCK);
  expect([code, stderr.includes("Error")]).toEqual([0, false]);
  expect(stdout).not.toBe("");
  const told = [...stderr.matchAll(/^warning: (-\S+): unknown flag, ignored$/gm)].map(([, flag]) => flag);
  expect(told).toEqual(OLD_FLAGS.filter((word) => word.startsWith("-")).map((word) => word.replace(/=.*/, "")));
});

test.each([
  [["bootstrap", "render", "--concurency", "2"]],
  [["bootstrap", "validate", "--concurency=2"]],
  [["config", "--concurency", "2"]],
  [["config", "node", "--concurency=2"]],
  [["config", "explain", "concurrency", "--concurency", "2"]],
])("reality 12: %j: a flag that looks like one of ours is passed over, too, with the nearest name", async (args) => {
  const { code, stderr } = await pilotboat(args, STOCK);
  expect(code).toBe(0);
  expect(stderr).toContain('warning: --concurency: unknown flag, ignored. Did you mean "--concurrency"?\n');
});

const STATIC = "node: {id: mine, cluster: c}\nadmin: {address: {pipe: {path: ./admin}}}\n";

test("reality 32: validate FILE checks that file, and not the bootstrap of the proxy", async () => {
  const broken = { PROXY_CONFIG: "customConfigFile: other.yaml" };
  await writeFile(join(cwd, "envoy.yaml"), STATIC);
  await writeFile(join(cwd, "other.yaml"), "stats_flush_interval: 0s\n");
  expect(await pilotboat(["bootstrap", "validate"], { ...STOCK, ...broken })).toMatchObject({ code: 1 });
  const validate = (...words: string[]) =>
    pilotboat(["bootstrap", "validate", ...words], { ...STOCK, ...broken, ISTIO_BOOTSTRAP_OVERRIDE: "other.yaml" });
  expect(await validate("envoy.yaml")).toEqual({ code: 0, stdout: "OK\n", stderr: "" });
  expect(await validate("router", "--concurrency", "2", join(cwd, "envoy.yaml"))).toMatchObject({ code: 0 });
  const bad = await validate("other.yaml");
  expect(bad.code).toBe(1);
  expect(bad.stdout).toContain("value must be");
  expect((await validate("-v", "./envoy.yaml")).stdout).toMatch(/configuration '\.\/envoy\.yaml' OK/);
});

test("reality 32: validate FILE tells unknown fields of the file", async () => {
  await writeFile(join(cwd, "envoy.json"), '{"node":{"id":"a","cluster":"c"},"admin":{"nope":1}}');
  const { code, stdout } = await pilotboat(["bootstrap", "validate", "envoy.json"], STOCK);
  expect(code).toBe(0);
  expect(stdout).toMatch(/nope.*\nOK\n$/);
});

test.each([
  [["gone.yaml"], 'Cannot find the file "'],
  [["."], "it is a folder"],
  [["a.yaml", "b.yaml"], "Cannot validate 2 files at once"],
])("reality 32: validate %j is a mistyped command line", async (words, message) => {
  const { code, stdout, stderr } = await pilotboat(["bootstrap", "validate", ...words], STOCK);
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  expect(stderr).toContain(message);
});

test("validate: the override of ISTIO_BOOTSTRAP_OVERRIDE is part of it", async () => {
  await writeFile(join(cwd, "override.yaml"), "stats_flush_interval: 0s\n");
  expect(await pilotboat(["bootstrap", "validate"], STOCK)).toMatchObject({ code: 0 });
  const env = { ...STOCK, ISTIO_BOOTSTRAP_OVERRIDE: "override.yaml" };
  expect(await pilotboat(["bootstrap", "validate"], env)).toMatchObject({ code: 1 });
});

test("validate: a run folder that is not there yet is no obstacle, and nothing is left of it", async () => {
  const folder = join(cwd, "new");
  expect(await pilotboat(["bootstrap", "validate", "--run-folder", folder], STOCK)).toMatchObject({ code: 0 });
  expect(await readdir(cwd)).toEqual([]);
});

test("validate: Envoy is asked without hot restart, which would leave shared memory behind", async () => {
  const wrapper = join(cwd, "envoy");
  await writeFile(wrapper, `#!/bin/sh\necho "$@" > ${cwd}/words\nexec ${STOCK.ENVOY_BIN} "$@"\n`, { mode: 0o755 });
  expect(await pilotboat(["bootstrap", "validate"], { ...STOCK, ENVOY_BIN: wrapper })).toMatchObject({ code: 0 });
  expect(await readFile(join(cwd, "words"), "utf8")).toMatch(/ --mode validate .*--disable-hot-restart/);
});

test("render and validate tell what is odd in the configuration", async () => {
  const env = { ...STOCK, PROXY_CONFIG: "drainDuraton: 1s", ISTIO_METAJSON_X: "nonsense" };
  for (const command of ["render", "validate"]) {
    const { code, stderr } = await pilotboat(["bootstrap", command], env);
    expect(code).toBe(0);
    expect(stderr).toContain("warning: PROXY_CONFIG:1:15: drainDuraton: unknown field");
    expect(stderr).toContain("warning: Env variable X [nonsense] failed json unmarshal");
  }
});

test("diff: the order of filters counts, that of clusters does not; YAML and JSON compare", async () => {
  const filters = (...names: string[]) => ({ http_filters: names.map((name) => ({ name })) });
  const write = (file: string, document: object) => writeFile(join(cwd, file), JSON.stringify(document));
  await write("a.json", { ...filters("a", "b", "c"), clusters: [{ name: "x" }, { name: "y" }] });
  await write("b.json", { ...filters("b", "a", "c"), clusters: [{ name: "y" }, { name: "x" }] });
  expect(await pilotboat(["bootstrap", "diff", "a.json", "b.json"])).toMatchObject({
    code: 1,
    stdout: '~ http_filters[order]: ["a","b","c"] -> ["b","a","c"]\n',
  });
  await write("c.json", { ...filters("a", "new", "b", "c"), clusters: [{ name: "x" }, { name: "y" }] });
  expect((await pilotboat(["bootstrap", "diff", "a.json", "c.json"])).stdout).toBe(
    '+ http_filters[new]: {"name":"new"}\n',
  );
  await writeFile(
    join(cwd, "d.yaml"),
    "http_filters: [{name: a}, {name: b}, {name: c}]\nclusters: [{name: x}, {name: y}]\n",
  );
  expect(await pilotboat(["bootstrap", "diff", "a.json", "d.yaml"])).toMatchObject({ code: 0 });
  expect(await pilotboat(["bootstrap", "diff", "a.json", "gone"])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("Cannot find the file"),
  });
});
