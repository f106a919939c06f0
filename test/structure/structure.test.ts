import { readdirSync, readFileSync } from "node:fs";
import { build } from "esbuild";
import { describe, expect, test } from "vitest";
// @ts-expect-error a plain script without types
import { protoDigest } from "../../scripts/proto-digest.mjs";
import { MUTATIONS } from "./mutations.ts";
import { RULES } from "./rules.ts";
import { arrowsOf, readSources } from "./source-graph.ts";

const sources = readSources();

describe.each(Object.entries(RULES))("%s", (name, rule) => {
  test("holds", () => {
    expect(rule(sources)).toEqual([]);
  });

  test.each(MUTATIONS.filter((mutation) => mutation.rule === name))("catches $what", ({ file, text, caught }) => {
    expect(rule(new Map([...sources, [file, text]]))).toContainEqual(expect.stringContaining(caught));
  });
});

test("every rule has a mutation that it catches", () => {
  expect([...new Set(MUTATIONS.map(({ rule }) => rule))].sort()).toEqual(Object.keys(RULES).sort());
});

test("what runs before Envoy is spawned loads no library", async () => {
  const reached = await reachedFrom(["src/main.ts", "src/cli/proxy.ts", "src/agent/index.ts"]);
  expect(reached.filter((file) => file.includes("node_modules"))).toEqual([]);
});

test("what a list of all commands loads is their descriptions: no other room, and no library", async () => {
  const lazy = /import\("\.\/([a-z-]+\.ts)"\)/g;
  const commands = [...readFileSync("src/cli/commands.ts", "utf8").matchAll(lazy)].map(([, file]) => `src/cli/${file}`);
  expect(commands.length).toBeGreaterThan(10);
  const reached = await reachedFrom(["src/main.ts", ...commands]);
  const own = /^(src\/(main\.ts|version\.ts|cli\/|host\/|base\/|istio\/[^/]+$)|package\.json$)/;
  expect(reached.filter((file) => !own.test(file)).sort()).toEqual([
    "src/config/find-command.ts",
    "src/config/flags.ts",
    "src/config/pflag.ts",
    "src/config/yaml-scalar.ts",
  ]);
});

test("`up` and `run --local` load neither redirection nor network namespaces until those are asked for", async () => {
  const reached = await reachedFrom(["src/cli/up-mesh.ts", "src/cli/run.ts", "src/local/index.ts"]);
  expect(reached).toContain("src/local/local-mesh.ts");
  expect(reached.filter((file) => /^src\/(?:redirect|local\/namespace)\//.test(file))).toEqual([]);
});

/** The files that are loaded with these: what they import, and what that imports, but not by `import()`. */
async function reachedFrom(entryPoints: readonly string[]): Promise<string[]> {
  const { metafile } = await build({
    entryPoints: [...entryPoints],
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    outdir: "nowhere",
    write: false,
    metafile: true,
    external: ["bun:ffi"],
    loader: { ".yaml": "text" },
    logLevel: "error",
  });
  const reached = new Set(entryPoints);
  for (const file of reached) {
    for (const { kind, path } of metafile.inputs[file]?.imports ?? []) {
      if (kind !== "dynamic-import" && path in metafile.inputs) reached.add(path);
    }
  }
  return [...reached];
}

test("what stands between Envoy's start and its first certificate loads no generated messages", () => {
  const uses = arrowsOf(sources).filter(({ to, isTypeOnly }) => !isTypeOnly && to.startsWith("src/proto/gen/"));
  expect([...new Set(uses.map(({ from }) => from.split("/")[1]))]).toEqual(["control-plane", "xds-client"]);
});

test("every room has a README and an index", () => {
  const rooms = readdirSync("src", { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const missing = rooms.flatMap(({ name }) =>
    (name === "proto" ? [] : ["README.md", "index.ts"])
      .filter((file) => !readdirSync(`src/${name}`).includes(file))
      .map((file) => `src/${name}/${file}`),
  );
  expect(missing).toEqual([]);
});

test("the generated messages are those of the .proto files", () => {
  expect(readFileSync("src/proto/gen/inputs.sha256", "utf8").trim()).toBe(protoDigest());
});

test("the lock file names no registry", () => {
  expect(readFileSync("package-lock.json", "utf8")).not.toMatch(/"resolved"/);
});
