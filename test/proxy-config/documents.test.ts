import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parse } from "yaml";
import { parseDump, withoutPrivate } from "../../src/proxy-config/index.ts";
import { runInProcess } from "../support/run-cli.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "pc-documents-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function show(part: string, dump: unknown, ...words: readonly string[]) {
  await writeFile(join(folder, "dump.json"), JSON.stringify(dump));
  return runInProcess(["proxy-config", part, "--file", "dump.json", ...words], { cwd: folder, env: {} });
}

const KEY = "c2VjcmV0LWJ5dGVz";

test.each([
  [{ tls_certificate: { private_key: { inline_bytes: KEY }, password: { inline_string: KEY } } }],
  [{ tlsCertificate: { privateKey: { inlineBytes: KEY }, privateKeyProvider: { typedConfig: KEY } } }],
  [{ tlsCertificate: { pkcs12: { inlineBytes: KEY } }, genericSecret: { secret: { inlineString: KEY } } }],
  [{ sessionTicketKeys: { keys: [{ inlineBytes: KEY }] } }],
])("no spelling of a field lets a private key through: %j", (secret) => {
  const shown = withoutPrivate({ dynamic_active_secrets: [{ name: "default", secret }] });
  expect(JSON.stringify(shown)).not.toContain(KEY);
  expect(shown).toMatchObject({ dynamic_active_secrets: [{ name: "default" }] });
});

test.each(["json", "yaml"])("secrets as %s have no key where the dump has lowerCamelCase", async (form) => {
  const secret = { tlsCertificate: { privateKey: { inlineBytes: KEY } }, name: "default" };
  const part = { "@type": "x.SecretsConfigDump", dynamic_active_secrets: [{ name: "default", secret }] };
  const { code, stdout } = await show("secrets", { configs: [part] }, "-o", form);
  expect(code).toBe(0);
  expect(stdout).toContain("default");
  expect(stdout).not.toContain(KEY);
});

const HOSTILE = "a\u001b[2J\u009b31m\u202eesrever\u2028b";
const clusters = (...all: readonly unknown[]) => ({
  configs: [{ "@type": "x.ClustersConfigDump", static_clusters: all.map((cluster) => ({ cluster })) }],
});

test.each([
  ["json", (text: string): unknown => JSON.parse(text)],
  ["yaml", (text: string): unknown => parse(text)],
])("as %s nothing of a dump steers a terminal, also behind a pipe, and the value is the same", async (form, read) => {
  const { stdout } = await show("clusters", clusters({ name: HOSTILE, alt_stat_name: "b" }), "-o", form);
  for (const code of ["\u001b", "\u009b", "\u202e", "\u2028"]) expect(stdout).not.toContain(code);
  expect(read(stdout)).toEqual([{ altStatName: "b", name: HOSTILE }]);
});

test("YAML has its names in order and JSON is indented by four, as istioctl prints them", async () => {
  const dump = clusters({ name: "one", alt_stat_name: "b" });
  expect((await show("clusters", dump, "-o", "yaml")).stdout).toBe("- altStatName: b\n  name: one\n");
  expect((await show("clusters", dump, "-o", "json")).stdout).toContain('\n        "name": "one"');
});

test.each([
  ["endpoints", { configs: {}, cluster_statuses: [] }, '"configs" is no list'],
  ["endpoints", { configs: [], cluster_statuses: {} }, '"cluster_statuses" is no list'],
  ["endpoints", { configs: [], cluster_statuses: null }, "Cannot find EndpointsConfigDump"],
  ["clusters", { configs: null, cluster_statuses: null }, 'found neither "configs" nor "cluster_statuses"'],
  ["clusters", { configs: "all" }, '"configs" is no list'],
  ["clusters", null, "found neither"],
])("%s of %j fail with what is wrong with the file", async (part, dump, message) => {
  const { code, stderr } = await show(part, dump);
  expect(stderr).toContain(message);
  expect(stderr).not.toContain("Internal failure");
  expect(code).not.toBe(0);
});

test("what is no message in a list counts as an empty one", () => {
  expect(parseDump('{"configs":[7,null]}', "a test")).toEqual({ configs: [{}, {}] });
});

test.each(["99999", "0", "-1"])("--proxy-admin-port %s is a mistake of usage", async (port) => {
  const { code, stderr } = await runInProcess(["pc", "clusters", `--proxy-admin-port=${port}`], {
    cwd: folder,
    env: {},
  });
  expect(stderr).toContain(`Cannot use --proxy-admin-port "${port}", wanted 1 to 65535`);
  expect(code).toBe(2);
});
