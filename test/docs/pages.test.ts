import { readFileSync } from "node:fs";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { build } from "esbuild";
import { expect, test } from "vitest";
import { RESOURCE_LISTS } from "../../src/control-plane/ads/resource-types.ts";
import { parseResources } from "../../src/control-plane/sources/resources.ts";
import { CONTROL_PLANE_OPTIONS, SIDECAR_OPTIONS } from "../../src/library-options.ts";
import { loadEnvoyTypes } from "../../src/proto/envoy-types.ts";
import { run } from "../support/pilotboat.ts";
import { realEnvoy } from "../support/real-envoy.ts";

const read = (file: string): string => readFileSync(file, "utf8");
test("reality 37: the resources of docs/mesh-folder.md are read, and its table has every list", () => {
  const page = read("docs/mesh-folder.md");
  const values = {
    ...{ OUTBOUND_PORT: "1", INBOUND_PORT: "2", APP_PORT: "3" },
    ...{ NAMESPACE: "n", SERVICE_ACCOUNT: "s", TRUST_DOMAIN: "t" },
  };
  const types = loadEnvoyTypes();
  const blocks = blocksOf(page, "yaml");
  expect(blocks).toHaveLength(3);
  for (const text of blocks) expect(parseResources({ file: "mesh-folder.md", text }, values, types)).toHaveLength(1);
  for (const [list, { typeName, nameField }] of Object.entries(RESOURCE_LISTS)) {
    expect(page).toMatch(
      new RegExp(`^\\| \`${list}\` \\| .*${typeName.replaceAll(".", "\\.")}.* \\| \`${nameField}\` \\|$`, "m"),
    );
  }
});

test("the mesh that docs/transparent.md names is read, and has what the page says", () => {
  const file = "examples/transparent/xds/mesh.yaml";
  const page = read("docs/transparent.md");
  expect(page).toContain(`\`${file}\``);
  const [group] = parseResources(
    { file, text: read(file) },
    { OUTBOUND_PORT: "15001", INBOUND_PORT: "2" },
    loadEnvoyTypes(),
  );
  expect(Object.keys(group?.names ?? {})).toEqual(["reviews.default.svc.cluster.local"]);
  expect(group?.listeners).toMatchObject([
    { name: "outbound", port: 15_001 },
    { name: "inbound", port: 2 },
  ]);
  expect(blocksOf(page, "").join("")).toContain("run --transparent -- curl -i http://reviews:9080/hello\n");
});

test("reality 37: the examples of docs/library.md run, and its tables have every option", async () => {
  const page = read("docs/library.md");
  for (const option of Object.keys({ ...SIDECAR_OPTIONS, ...CONTROL_PLANE_OPTIONS })) {
    expect(page).toMatch(new RegExp(`^\\| .*\`${option}\`.* \\| .* \\|$`, "m"));
  }
  await realEnvoy(); // the library finds it in the cache
  const said = [];
  for (const contents of blocksOf(page, "ts")) said.push(await runExample(contents));
  expect(said).toEqual([
    "200\n",
    expect.stringMatching(/^127\.0\.0\.1:\d+ 3\n2\n$/),
    expect.stringMatching(/there is no "namespce", did you mean "namespace"\?\n$/),
  ]);
});

/** In a folder that has `mesh`; with the package's own build in place of the package. */
async function runExample(contents: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "pb-docs-"));
  try {
    await cp("examples/quickstart/xds", join(folder, "mesh"), { recursive: true });
    const external = resolve("dist/index.js");
    const { outputFiles } = await build({
      stdin: { contents: contents.replace('"pilotboat"', JSON.stringify(external)), loader: "ts" },
      ...{ bundle: true, write: false, format: "esm", target: "node20", platform: "node", external: [external] },
    });
    await writeFile(join(folder, "example.mjs"), outputFiles[0]?.text ?? "");
    const { code, stdout, stderr } = await run({ name: "Node", command: [process.execPath] }, ["example.mjs"], {
      cwd: folder,
    });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    return stdout;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The texts of the fenced blocks of that language. */
function blocksOf(page: string, language: string): string[] {
  return [...page.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, "gm"))].map(([, text = ""]) => text);
}
