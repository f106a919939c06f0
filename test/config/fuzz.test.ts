import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { PROXY_FLAGS } from "../../src/config/flags.ts";
import { CATALOGUE, ConfigError, configEntries, loadConfig, substitute } from "../../src/config/index.ts";
import { readYaml } from "../../src/config/yaml.ts";
import { PROXY_CONFIG, proxyConfigFromJson, proxyConfigToJson } from "../../src/istio/mesh/index.ts";
import { Chance } from "../support/chance.ts";

// FUZZ_ITERATIONS=100000 FUZZ_SEED=7 npx vitest run test/config/fuzz
const ITERATIONS = Number(process.env.FUZZ_ITERATIONS ?? 400);
const SEED = Number(process.env.FUZZ_SEED ?? 1);
const LIMIT_MS = 10 * 60_000;

const SCALARS: readonly unknown[] = [
  ..."yes no null ~ 010 0x1F 1e3 .inf 12:30:45 2020-01-01 << -1 0 1 4.5 99999999999999999999 a:1 [::1]:80 45s 90 1d".split(
    " ",
  ),
  "",
  "x".repeat(300),
  "$(HOST_IP):1",
  "é😀\u0000\ud800",
  true,
  false,
  null,
  0,
  -1,
  4.5,
  2 ** 31,
  1e308,
];
const NAMES = [
  ...Object.keys(PROXY_CONFIG),
  "zipkin",
  "address",
  "tlsSettings",
  "mode",
  "config_path",
  "nope",
  "__proto__",
  "0",
  "",
];

function randomTree(chance: Chance, depth = 0): unknown {
  const kind = depth > 4 ? 0 : chance.below(5);
  if (kind < 2) return chance.one(SCALARS);
  if (kind === 2) return chance.some(4, () => randomTree(chance, depth + 1));
  return Object.fromEntries(chance.some(5, () => [chance.one(NAMES), randomTree(chance, depth + 1)]));
}

const YAML_BITS =
  "a: |b:|- |? |: |{|}|[|]|,|'|\"|&x |*x|!!str |!!int |!x |<<: |%|@|`|>|\\|| |\n|\n  |\n\t|# c|---\n|...\n|yes|010|.inf|\ufeff|\r|\u0007|drainDuration: |tracing: ".split(
    "|",
  );

function randomText(chance: Chance): string {
  const way = chance.below(4);
  const json = JSON.stringify(randomTree(chance));
  if (way === 0) return json;
  if (way === 1) return chance.some(25, () => chance.one(YAML_BITS)).join("");
  const at = chance.below(json.length + 1);
  if (way === 2) return json.slice(0, at) + chance.one(YAML_BITS) + json.slice(at + chance.below(3));
  const lines = chance.some(6, () => `${chance.one(NAMES)}: ${JSON.stringify(randomTree(chance, 3))}`);
  return lines.join("\n");
}

function randomArgs(chance: Chance): string[] {
  const words = [
    ...PROXY_FLAGS.map(({ name }) => `--${name}`),
    "--log_output_level",
    "--log_target",
    "--nope",
    "-x",
    "--",
    "-",
    "",
  ];
  return chance
    .some(6, () => {
      const word = chance.one([...words, "router", "sidecar", "1", "true"]);
      return chance.below(3) === 0 ? `${word}=${String(chance.one(SCALARS))}` : word;
    })
    .filter((word) => !word.startsWith("--proxy-config") && !word.startsWith("--meshConfig"));
}

function randomEnv(chance: Chance): Record<string, string> {
  const names = [
    ...Object.values(CATALOGUE).map(({ env }) => env),
    "ISTIO_META_A",
    "ISTIO_METAJSON_B",
    "XDS_HEADER_",
    "CA_HEADER_x",
  ];
  const pairs = chance.some(10, (): [string, string] => [chance.one(names), String(chance.one(SCALARS))]);
  return { ...Object.fromEntries(pairs), ...(chance.below(3) > 0 && { PROXY_CONFIG: randomText(chance) }) };
}

test(
  "whatever the words are, the answer is a configuration or problems",
  async () => {
    const chance = new Chance(SEED);
    const cwd = await mkdtemp(join(tmpdir(), "pb-config-fuzz-"));
    await mkdir(join(cwd, "etc/istio/config"), { recursive: true });
    await mkdir(join(cwd, "etc/istio/pod"), { recursive: true });
    try {
      for (let round = 0; round < ITERATIONS; round++) {
        await writeFile(
          join(cwd, "etc/istio/config/mesh"),
          chance.below(4) === 0 ? `defaultConfig: ${randomText(chance)}` : "",
        );
        const annotation = `proxy.istio.io/config=${JSON.stringify(randomText(chance))}`;
        await writeFile(join(cwd, "etc/istio/pod/annotations"), chance.below(4) === 0 ? annotation : "");
        const words = {
          args: randomArgs(chance),
          env: randomEnv(chance),
          cwd,
          resolve: async () => ["::1", "127.0.0.1"],
        };
        await expectAnswer({ ...words, isPositioned: chance.below(2) === 0 });
      }
    } finally {
      await rm(cwd, { recursive: true, force: true });
    }
  },
  LIMIT_MS,
);

async function expectAnswer(words: Parameters<typeof loadConfig>[0]): Promise<void> {
  try {
    const { config } = await loadConfig(words);
    const json = proxyConfigToJson(config.proxy);
    expect(proxyConfigToJson(proxyConfigFromJson(json))).toEqual(json);
    JSON.stringify(configEntries(config));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw new Error(`failed on ${JSON.stringify(words)}`, { cause: error });
    for (const problem of error.problems) {
      expect(problem).toMatchObject({ name: expect.any(String), message: expect.stringMatching(/./) });
      expect(problem.origin.source).not.toBe("");
    }
  }
}

test(
  "JSON means the same whether it is read as JSON or as YAML",
  () => {
    const chance = new Chance(SEED);
    for (let round = 0; round < ITERATIONS; round++) {
      const tree = { a: randomTree(chance) };
      const text = JSON.stringify(tree, null, chance.below(3));
      const reading = readYaml(text, "doc");
      if (/\\ud800|\\u0000/.test(text) || /\d{16}|e\+/.test(text)) continue; // text that only one of them can hold
      expect(reading).toMatchObject({ ok: true });
      expect(reading.ok && reading.document.tree).toEqual(JSON.parse(text));
    }
  },
  LIMIT_MS,
);

test("substitution never fails, and leaves text without a dollar alone", () => {
  const chance = new Chance(SEED);
  for (let round = 0; round < ITERATIONS; round++) {
    const text = chance.some(12, () => chance.one(["$", "${", "}", "A", "_", "1", " ", "\\", "\n", "é"])).join("");
    const result = substitute(text, { A: "$A${A}$&" });
    if (!text.includes("$")) expect(result).toBe(text);
  }
});
