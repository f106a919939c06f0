import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { allCommands, COMMANDS } from "../../src/cli/commands.ts";
import type { Command } from "../../src/cli/contract/index.ts";
import { LOG_FLAGS, PROXY_FLAGS } from "../../src/config/flags.ts";
import { CATALOGUE, type ConfigEntry, configEntries, type EntryKind, loadConfig } from "../../src/config/index.ts";
import { statedDefaults } from "../../src/local/defaults/index.ts";
import { runInProcess } from "../support/run-cli.ts";

// After a change to a table or to a command's help: npx vitest run test/docs -u
test("docs/config.md lists every field, flag and variable", async () => {
  const { config } = await loadConfig({ args: ["--meshConfig", "/dev/null"], env: {}, cwd: "/dev/null" });
  await expect(page(configEntries(config))).toMatchFileSnapshot("../../docs/config.md");
});

test("reality 37: docs/commands.md has the help of every command", async () => {
  await expect(await commandsPage()).toMatchFileSnapshot("../../docs/commands.md");
});

async function commandsPage(): Promise<string> {
  const sections: string[] = [];
  for (const command of await allCommands()) {
    sections.push(`## ${command.name}`, "", `${command.summary}.`, "");
    for (const words of pathsOf(command)) {
      sections.push("```", `$ pilotboat ${words.join(" ")} --help`, await help(words), "```", "");
    }
  }
  return `${[...INTRODUCTION, ...sections].join("\n").trimEnd()}\n`;
}

/** The command and its sub-commands. */
function pathsOf({ name, commands = [] }: Command): string[][] {
  return [[name], ...commands.flatMap(pathsOf).map((path) => [name, ...path])];
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
  "| `PILOTBOAT_ENVOY_VERSION` | the one Envoy that will do, such as `1.38.3`, or `istio-1.31.0` for Istio's own; `ENVOY_BIN` and flags beat it |",
  "| `PILOTBOAT_ENVOY_HUB` | where Istio's images are: registry and path before `/proxyv2`, default `docker.io/istio` |",
  "| `HTTPS_PROXY`, `NO_PROXY` | the way to a registry |",
  "| `DOCKER_CONFIG` | folder of `config.json`, by which a registry knows us, default `~/.docker` |",
  "| `NO_COLOR`; `TERM=dumb`, or no `TERM` | no colours; otherwise a terminal gets some, and a pipe none |",
  "| `FORCE_COLOR` | colours also in a pipe, `0` or `false`: none; beats `NO_COLOR` |",
  "| `COLUMNS` | width of tables and help pages; default: the terminal's |",
  "| `PATH` | where `envoy`, `pip` and `setpriv` are looked for |",
  "| `TMPDIR` | folder for the run folders of `up` and `run --local`, default `/tmp` |",
  "| `XDG_CACHE_HOME` | where fetched Envoys are kept, default `~/.cache` |",
  "| `XDG_STATE_HOME` | where `up` and `run --local` keep evidence of crashes, and `use-local-istiod` what it will put back, default `~/.local/state` |",
  "| `PIP_INDEX_URL` and what else pip reads | where `envoy fetch` gets Envoy from |",
  "",
];

async function help(words: readonly string[]): Promise<string> {
  const { stdout } = await runInProcess([...words, "--help"], { cwd: "/", env: {} });
  const [flags = ""] = stdout.split("\nVariables, by what they are for"); // they are in config.md
  return flags.trim();
}

test("what the page of commands is made from is every file of a command, and every flag that one reads", async () => {
  const files = readdirSync("src/cli").filter((file) => {
    return file.endsWith(".ts") && /^export const command\b/m.test(readFileSync(join("src/cli", file), "utf8"));
  });
  expect(Object.keys(COMMANDS).sort()).toEqual(files.map((file) => file.replace(/\.ts$/, "")).sort());
  for (const [name, load] of Object.entries(COMMANDS)) expect((await load()).command.name).toBe(name);
  const page = readFileSync("docs/commands.md", "utf8");
  for (const command of await allCommands()) {
    for (const { flags } of [command, ...(command.commands ?? [])]) {
      for (const { name, help } of flags) {
        expect({ name, isThere: page.includes(`--${name}`) && page.replaceAll(/\s+/g, " ").includes(help) }).toEqual({
          name,
          isThere: true,
        });
      }
    }
  }
});

test("what the page is made from is every row of the tables", async () => {
  const { config } = await loadConfig({ args: ["--meshConfig", "/dev/null"], env: {}, cwd: "/dev/null" });
  const names = (kind: EntryKind) =>
    configEntries(config).flatMap((entry) => (entry.kind === kind ? [entry.name] : []));
  expect(names("variable").sort()).toEqual(
    Object.values(CATALOGUE)
      .map(({ env }) => env)
      .sort(),
  );
  expect(names("flag").sort()).toEqual([...PROXY_FLAGS, ...LOG_FLAGS].map(({ name }) => `--${name}`).sort());
  expect(new Set(names("variable")).size).toBe(names("variable").length);
});

test("a default is what its own parser reads from its printed form", () => {
  for (const row of Object.values(CATALOGUE)) {
    const { parser, default: fallback } = row as {
      parser: { parse(t: string): unknown; print(v: unknown): string };
      default: unknown;
    };
    expect(parser.parse(parser.print(fallback))).toEqual(fallback);
  }
});

const ROOMS: Readonly<Record<string, string>> = {
  node: "Workload and node",
  config: "Configuration",
  bootstrap: "Bootstrap",
  envoy: "Envoy's life",
  agent: "Agent",
  identity: "Control plane, certificates and keys",
  xds: "xDS",
  status: "Status, probes and metrics",
  dns: "DNS",
  wasm: "Wasm",
};

/** What almost everybody sets, in the order in which a newcomer meets it. */
const FIRST = [
  "PROXY_CONFIG",
  "POD_NAME",
  "POD_NAMESPACE",
  "SERVICE_ACCOUNT",
  "--run-folder",
  "--proxy-config",
  "--hot-restart",
] as const;

function firstRow(name: (typeof FIRST)[number], entries: readonly ConfigEntry[]): string[] {
  const entry = entries.find((one) => one.name === name);
  if (entry === undefined) throw new Error(`${name} is in none of the tables`);
  return [`\`${name}\``, entry.help];
}

function page(entries: readonly ConfigEntry[]): string {
  const of = (kind: EntryKind) => entries.filter((entry) => entry.kind === kind);
  const roomOf = new Map<string, string>(Object.values(CATALOGUE).map(({ env, room }) => [env, room]));
  expect(new Set(roomOf.values())).toEqual(new Set(Object.keys(ROOMS)));
  return [
    "# Configuration",
    "",
    "Generated from `src/config` (`npx vitest run test/docs -u`). What a machine really runs with, and who set it:",
    "`pilotboat config`; one name: `pilotboat config explain NAME`.",
    "",
    "## The ones you need first",
    "",
    "A sidecar outside a cluster needs the four variables: where the control plane is, and which workload it speaks for.",
    "",
    ...table(
      ["name", "meaning"],
      FIRST.map((name) => firstRow(name, entries)),
    ),
    "",
    '`PROXY_CONFIG=\'{"discoveryAddress":"localhost:15012"}\'`, for example, or the same in the file of `--proxy-config`; all',
    "[fields](#fields-of-proxyconfig) are at the end.",
    "",
    "## Who beats whom",
    "",
    "ProxyConfig: built-in defaults, then `defaultConfig` of the mesh file (`--meshConfig`), then `PROXY_CONFIG` (or the file",
    "of `--proxy-config`, in which `$NAME` and `${NAME}` are replaced as by `envsubst`), then the pod annotation",
    "`proxy.istio.io/config`, then computed values (`ISTIO_CPU_LIMIT`, `--concurrency`, `--serviceCluster`, `--templateFile`,",
    "the looked-up statsd address), then the pod annotations `sidecar.istio.io/discoveryAddress` and",
    "`status.sidecar.istio.io/port`. Annotations are read from `./etc/istio/pod/annotations`. Each layer replaces whole",
    "fields; `proxyMetadata` merges key by key, and `proxyHeaders` inherits `forwardedClientCert`, `requestId`,",
    "`attemptCount`, `server` and `envoyDebugHeaders`.",
    "",
    "`proxyMetadata` is node metadata, by its `ISTIO_META_` names. Istio's injector also makes variables of it; where none was,",
    "variables are set as variables, and a warning names what has no effect.",
    "",
    "A flag beats the variable that says the same. A variable that cannot be parsed is a warning and its default is used;",
    "a field or flag that cannot be parsed ends the start with exit code 2, together with all other problems.",
    "",
    "Values: durations are Go's (`30s`, `1h30m`, `500ms`), booleans are `1 t T TRUE true True 0 f F FALSE false False`.",
    "ProxyConfig documents are YAML 1.1 or JSON, names in lowerCamelCase or snake_case.",
    "",
    "## Other defaults of `run` and `up`",
    "",
    "Whatever you set beats these, too; an empty cell is as `proxy`. `up` stands for `run --local` and the library as well.",
    "",
    ...table(["name", "`proxy`", "`run`", "`up`"], entries.flatMap(otherDefaults)),
    "",
    "## Flags of `proxy`",
    "",
    "`--name=value` or `--name value`; booleans take a value only after `=`. Unknown flags are passed over.",
    "",
    ...table(["flag", "type", "default", "meaning"], of("flag").map(row)),
    "",
    "## Variables",
    ...Object.entries(ROOMS).flatMap(([room, title]) => [
      "",
      `### ${title}`,
      "",
      ...table(
        ["variable", "type", "default", "meaning"],
        of("variable")
          .filter(({ name }) => roomOf.get(name) === room)
          .map(row),
      ),
    ]),
    "",
    "### By prefix",
    "",
    ...table(
      ["prefix", "meaning"],
      [
        ["`ISTIO_META_`", "node metadata, as text"],
        ["`ISTIO_METAJSON_`", "node metadata, as JSON"],
        ["`XDS_HEADER_`", "a header of the xDS connection, named as the rest of the variable's name"],
        ["`CA_HEADER_`", "the same for the connection to the CA"],
      ],
    ),
    "",
    "## Fields of ProxyConfig",
    "",
    ...table(["field", "type", "default", "meaning"], of("field").map(row)),
    "",
  ].join("\n");
}

function row({ name, type, default: fallback, help }: ConfigEntry): string[] {
  return [`\`${name}\``, type.startsWith("{") ? "message" : type, shown(fallback), help];
}

function otherDefaults({ name, default: fallback }: ConfigEntry): string[][] {
  const usual = shown(fallback);
  const stated = statedDefaults(name).filter(({ value }) => `\`${value}\`` !== usual);
  const of = (command: string): string => stated.find((one) => one.command === command)?.value ?? "";
  return stated.length === 0 ? [] : [[`\`${name}\``, usual, of("run"), of("up")]];
}

function shown(value: ConfigEntry["default"]): string {
  if (value === null || value === "" || (typeof value === "object" && Object.keys(value).length === 0)) return "";
  return `\`${formatValue(value)}\``;
}

function formatValue(value: ConfigEntry["default"]): string {
  return Array.isArray(value) ? value.join(",") : String(value);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|").replaceAll("<", "\\<")).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)];
}
