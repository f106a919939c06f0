import { existsSync, readdirSync, readFileSync } from "node:fs";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { build } from "esbuild";
import { expect, test } from "vitest";
import { COMMANDS } from "../../src/cli/commands.ts";
import { loadEnvoyTypes } from "../../src/control-plane/envoy-types.ts";
import { RESOURCE_LISTS } from "../../src/control-plane/resource-types.ts";
import { parseResources } from "../../src/control-plane/resources.ts";
import { thisPlatform } from "../../src/envoy/binary/index.ts";
import { CONTROL_PLANE_OPTIONS, SIDECAR_OPTIONS } from "../../src/library-options.ts";
import { run } from "../support/pilotboat.ts";
import { realEnvoy } from "../support/real-envoy.ts";
import { runInProcess } from "../support/run-cli.ts";

const read = (file: string): string => readFileSync(file, "utf8");
const PAGES = readdirSync("docs").filter((file) => file.endsWith(".md"));

test("reality 37: the index names every page, and every link of a page leads somewhere", () => {
  const index = read("docs/README.md");
  expect(PAGES.filter((page) => page !== "README.md" && !index.includes(`](${page})`))).toEqual([]);
  const dead = ["README.md", ...PAGES.map((page) => `docs/${page}`)].flatMap((page) =>
    [...read(page).matchAll(/\]\(([^)\s]+)\)/g)]
      .map(([, link = ""]) => link)
      .filter((link) => !isAlive(page, link))
      .map((link) => `${page}: ${link}`),
  );
  expect(dead).toEqual([]);
});

function isAlive(page: string, link: string): boolean {
  if (/^https?:/.test(link)) return true;
  const [path = "", anchor] = link.split("#");
  const file = path === "" ? page : join(dirname(page), path);
  if (!existsSync(file)) return false;
  return anchor === undefined || headings(read(file)).includes(anchor);
}

/** As GitHub makes anchors of them. */
function headings(text: string): string[] {
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, title = ""]) =>
    title
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, "")
      .replaceAll(" ", "-"),
  );
}

// After a change to a command's help: npx vitest run test/docs -u
test("reality 37: docs/commands.md has the help of every command", async () => {
  await expect(await commandsPage()).toMatchFileSnapshot("../../docs/commands.md");
});

async function commandsPage(): Promise<string> {
  const sections: string[] = [];
  for (const { name, summary } of COMMANDS) {
    sections.push(`## ${name}`, "", `${summary}.`, "");
    for (const words of [[name], ...(await subCommands(name))]) {
      sections.push("```", `$ pilotboat ${words.join(" ")} --help`, await help(words), "```", "");
    }
  }
  return `${[...INTRODUCTION, ...sections].join("\n").trimEnd()}\n`;
}

const INTRODUCTION = [
  "# Commands",
  "",
  "What each command says with `--help`, generated (`npx vitest run test/docs -u`). The variables of `proxy`, `run`,",
  "`config` and `bootstrap` are in [config.md](config.md).",
  "",
  "| variable of every command | what it is for |",
  "| --- | --- |",
  "| `ENVOY_BIN` | Envoy's executable; `--envoy` beats it |",
  "| `PATH` | where `envoy`, `pip` and `setpriv` are looked for |",
  "| `TMPDIR` | folder for the run folders of `up` and `run --local`, default `/tmp` |",
  "| `XDG_CACHE_HOME` | where fetched Envoys are kept, default `~/.cache` |",
  "| `XDG_STATE_HOME` | where `up` and `run --local` keep evidence of crashes, default `~/.local/state` |",
  "| `PIP_INDEX_URL` and what else pip reads | where `envoy fetch` gets Envoy from |",
  "",
];

async function help(words: readonly string[]): Promise<string> {
  const { stdout } = await runInProcess([...words, "--help"], { cwd: "/", env: {} });
  const [flags = ""] = stdout.split("\nVariables, by what they are for"); // they are in config.md
  return flags.replaceAll(`(default: "${thisPlatform()}")`, "(default: this machine's)").trim();
}

/** Those that have a help of their own. */
async function subCommands(name: string): Promise<string[][]> {
  const [, list = ""] = /\nCommands:\n((?: .*\n)+)/.exec(`${await help([name])}\n`) ?? [];
  const names = [...list.matchAll(/^ {2}(\S+)/gm)].map(([, sub = ""]) => sub);
  return names.filter((sub) => sub !== "help").map((sub) => [name, sub]);
}

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
