import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { formatGoDuration, fromMs } from "../../src/base/index.ts";
import { effectiveProxyConfig } from "../../src/config/effective-proxy-config.ts";
import { readProxyFlags } from "../../src/config/flags.ts";
import { loadConfig } from "../../src/config/index.ts";
import { readSettings } from "../../src/config/read-settings.ts";
import { readYaml } from "../../src/config/yaml.ts";
import { parseDownwardApi } from "../../src/istio/index.ts";
import { DEFAULT_PROXY_CONFIG, proxyConfigToJson } from "../../src/istio/mesh/index.ts";

/**
 * What the reference makes of an input: `refused`, or `is`, which for a ProxyConfig are the fields that are not at their
 * default (null: gone). Where we differ, `ours` is our answer and `why` the reason. Made with the functions that
 * `pilot-agent` itself calls: docs/go-habits.md.
 */
interface Row {
  readonly environment?: string;
  readonly mesh?: string;
  readonly int?: string;
  readonly bool?: string;
  readonly float?: string;
  readonly duration?: string;
  readonly downwardApi?: string;
  readonly flags?: readonly string[];
  readonly refused?: true;
  readonly is?: unknown;
  readonly ours?: unknown;
  readonly why?: string;
}

const ROWS = (await readFile(new URL("go-habits.jsonl", import.meta.url), "utf8"))
  .trimEnd()
  .split("\n")
  .map((line) => JSON.parse(line) as Row);

type Answer = { readonly refused: true } | { readonly is: unknown };
const REFUSED: Answer = { refused: true };

const DEFAULTS: Readonly<Record<string, unknown>> = proxyConfigToJson(DEFAULT_PROXY_CONFIG);

async function answerToDocument({ mesh, environment }: Row): Promise<Answer> {
  const source = (text: string | undefined, name: string) => (text ? { text, source: name } : undefined);
  const { proxy, problems } = await effectiveProxyConfig({
    meshFile: source(mesh, "mesh"),
    environment: source(environment, "PROXY_CONFIG"),
    annotations: new Map(),
    flags: { concurrency: 0, serviceCluster: "istio-proxy", templateFile: "" },
    cpuLimit: 0,
    cpuCount: 1,
    resolve: async () => ["1.2.3.4"],
    isPositioned: false,
  });
  if (problems.length > 0) return REFUSED;
  const json: Readonly<Record<string, unknown>> = proxyConfigToJson(proxy);
  const names = [...new Set([...Object.keys(json), ...Object.keys(DEFAULTS)])];
  const changed = names.filter((name) => !isDeepStrictEqual(json[name], DEFAULTS[name]));
  return { is: Object.fromEntries(changed.map((name) => [name, json[name] ?? null])) };
}

/** One variable of each type. */
const VARIABLES = {
  int: ["ENVOY_PROMETHEUS_PORT", "envoyPrometheusPort"],
  bool: ["PKCS8_KEY", "isPkcs8"],
  float: ["SECRET_GRACE_PERIOD_RATIO", "gracePeriodRatio"],
} as const;

function answerToVariable(kind: keyof typeof VARIABLES, text: string): Answer {
  const [env, name] = VARIABLES[kind];
  const { settings, warnings } = readSettings({ [env]: text }, new Map());
  return warnings.length > 0 ? REFUSED : { is: settings[name] };
}

function answerToDuration(text: string): Answer {
  const { settings, warnings } = readSettings({ SECRET_TTL: text }, new Map());
  return warnings.length > 0 ? REFUSED : { is: formatGoDuration(fromMs(settings.secretTtlMs)) };
}

function answerToFlags(args: readonly string[]): Answer {
  const { flags, positionals, errors } = readProxyFlags(args);
  const { concurrency, domain, profiling, log_target } = flags;
  return errors.length > 0 ? REFUSED : { is: { concurrency, domain, profiling, log_target, args: positionals } };
}

function answerToDownwardApi(text: string): Answer {
  const parsed = parseDownwardApi(text);
  return typeof parsed === "string" ? REFUSED : { is: Object.fromEntries(parsed) };
}

async function answerTo(row: Row): Promise<Answer> {
  if (row.int !== undefined) return answerToVariable("int", row.int);
  if (row.bool !== undefined) return answerToVariable("bool", row.bool);
  if (row.float !== undefined) return answerToVariable("float", row.float);
  if (row.duration !== undefined) return answerToDuration(row.duration);
  if (row.flags !== undefined) return answerToFlags(row.flags);
  return row.downwardApi === undefined ? answerToDocument(row) : answerToDownwardApi(row.downwardApi);
}

/** JSON has no negative zero. */
function withoutSigns(value: unknown): unknown {
  return value === 0 ? 0 : value;
}

const KINDS = ["environment", "mesh", "int", "bool", "float", "duration", "downwardApi", "flags"] as const;

test.each(KINDS)("reality 9: %s: what the reference takes is taken alike, or the row says why not", async (kind) => {
  const rows = ROWS.filter((row) => row[kind] !== undefined);
  expect(rows.length).toBeGreaterThan(50);
  const wrong: unknown[] = [];
  for (const row of rows) {
    const wanted = row.why === undefined ? (row.refused ?? row.is) : row.ours === "refused" ? true : row.ours;
    const answer = await answerTo(row);
    const found = "is" in answer ? withoutSigns(answer.is) : answer.refused;
    if (!isDeepStrictEqual(found, wanted)) wrong.push({ input: row[kind], found, wanted });
  }
  expect(wrong).toEqual([]);
});

describe("reality 9: files", () => {
  let cwd: string;
  beforeEach(async () => {
    cwd = await mkdtemp(join(tmpdir(), "pb-habits-"));
  });
  afterEach(() => rm(cwd, { recursive: true, force: true }));

  async function loadWith(path: string, content: string | Buffer, env: Readonly<Record<string, string>> = {}) {
    await mkdir(dirname(join(cwd, path)), { recursive: true });
    await writeFile(join(cwd, path), content);
    const args = path === "words" ? ["--proxy-config", "words"] : [];
    return loadConfig({ args, env: { POD_NAMESPACE: "a", ...env }, cwd });
  }

  const MESH = "etc/istio/config/mesh";
  const utf16 = (text: string) => Buffer.from(`\ufeff${text}`, "utf16le");

  test.each<[string, Buffer]>([
    ["UTF-8 with a mark", Buffer.from("\ufeffdefaultConfig: {configPath: é}\r\n")],
    ["UTF-16, little end first", utf16("defaultConfig: {configPath: é}\n")],
    ["UTF-16, big end first", utf16("defaultConfig: {configPath: é}\n").swap16()],
  ])("a mesh file in %s is read", async (_name, content) => {
    expect((await loadWith(MESH, content)).config.proxy.configPath).toBe("é");
  });

  test("a file of --proxy-config and an override may have these encodings, too", async () => {
    expect((await loadWith("words", utf16("configPath: é"))).config.proxy.configPath).toBe("é");
    const env = { ISTIO_BOOTSTRAP_OVERRIDE: "override" };
    expect((await loadWith("override", utf16("a: é"), env)).config.envoyOverlay).toBe('{"a":"é"}');
  });

  test("bytes that are no UTF-8 are refused, and not read as question marks", async () => {
    const loading = loadWith(MESH, Buffer.from([...Buffer.from("# caf"), 0xe9, ...Buffer.from("\ndefaultConfig: {}")]));
    await expect(loading).rejects.toThrow('cannot read "./etc/istio/config/mesh": it is not UTF-8 text');
  });

  test("an override that would unfold without end is passed over, with a warning", async () => {
    const levels = Array.from({ length: 30 }, (_, at) => `l${at + 1}: &l${at + 1} [${`*l${at},`.repeat(9)}]`);
    const env = { ISTIO_BOOTSTRAP_OVERRIDE: "override" };
    const { config, warnings } = await loadWith("override", `l0: &l0 x\n${levels.join("\n")}`, env);
    expect(config.envoyOverlay).toBe("");
    expect(warnings.map(({ message }) => message).join()).toContain("excessive aliasing");
  });

  test.each<[string, number]>([
    ["configPath: a\n---\nconfigPath: b\n", 3],
    ["{configPath: a}\n{configPath: b}\n", 2],
    [" configPath: a\nstatusPort: 3\n", 2],
    ["---\nconfigPath: a\n---\n}{\n", 4],
  ])("%j: what does not count is a warning with its place", async (text, line) => {
    const { config, warnings } = await loadConfig({ args: [], env: { POD_NAMESPACE: "a", PROXY_CONFIG: text }, cwd });
    expect(config.proxy).toMatchObject({ configPath: "a", statusPort: 15_020 });
    expect(warnings.map(({ origin, message }) => [origin.line, message])).toEqual([
      [line, "the rest of the text is ignored: only the first document counts"],
    ]);
  });

  test("an empty second document is no warning", async () => {
    const env = { POD_NAMESPACE: "a", PROXY_CONFIG: "---\nconfigPath: a\n---\n" };
    expect((await loadConfig({ args: [], env, cwd })).warnings).toEqual([]);
  });
});

test("reality 9: lines that were indented for the parser keep their places", () => {
  const text = 'a: {\n"b": 1,\n\t"c": [2,\n3]\n}\nd: "x\ny"\ne: 5\n';
  const reading = readYaml(text, "doc");
  if (!reading.ok) throw new Error(reading.message);
  expect(reading.document.tree).toEqual({ a: { b: 1, c: [2, 3] }, d: "x y", e: 5 });
  const place = (...path: (string | number)[]) => {
    const { line, column } = reading.document.locate(path);
    return [line, column];
  };
  expect([place("a", "b"), place("a", "c", 0), place("a", "c", 1), place("d"), place("e")]).toEqual([
    [2, 6],
    [3, 8],
    [4, 1],
    [6, 4],
    [8, 4],
  ]);
});

test.each<[string, string, unknown]>([
  ["70,000 letters", `a: ${"x".repeat(70_000)}`, { a: "x".repeat(70_000) }],
  ["a key of 2,000 letters", `? ${"k".repeat(2_000)}\n: a`, { ["k".repeat(2_000)]: "a" }],
  ["190 levels", `a: ${"[".repeat(190)}${"]".repeat(190)}`, expect.anything()],
  ["4,000 lines that begin in the first column", `a: [\n${"x,\n".repeat(4_000)}]`, { a: Array(4_000).fill("x") }],
])("reality 9: very long: %s", (_name, text, tree) => {
  expect(readYaml(text, "doc")).toMatchObject({ ok: true, document: { tree } });
});

test.each([
  ["990 levels", `x: ${"{a: ".repeat(990)}1${"}".repeat(990)}`, "is nested too deeply"],
  ["5,000 levels", `x: ${"{a: ".repeat(5_000)}1${"}".repeat(5_000)}`, "is nested too deeply"],
  ["an unquoted key of 1,100 letters", `${"k".repeat(1_100)}: a`, "1024"],
])("reality 9: very long: %s is refused with a reason", (_name, text, message) => {
  expect(readYaml(text, "doc")).toMatchObject({ ok: false, message: expect.stringContaining(message) });
});
