import { stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { parse } from "yaml";
import { lookAtNode, renderFor, wantedEnvoy } from "../agent/start-envoy/index.ts";
import { AgentError, describeError, escapeLine, removeTree, silentLogger, writeFileAtomically } from "../base/index.ts";
import { describeDifference, diffByPath } from "../bootstrap/index.ts";
import { type AgentConfig, ALL_FLAGS, formatProblem, PROXY_ROLES, parseFlags } from "../config/index.ts";
import { findEnvoy } from "../envoy/binary/index.ts";
import { validateConfig } from "../envoy/index.ts";
import { OutputSource } from "../envoy/output/index.ts";
import { findSetpriv, type Host, makeTemporaryFolder, temporaryPlace, writeExact } from "../host/index.ts";
import type { JsonValue } from "../istio/mesh/index.ts";
import { checkNamedFile, readNamedFile } from "./named-path.ts";
import { checkProxyWords, loadProxyWords } from "./proxy-words.ts";

const HELP = `Usage: pilotboat bootstrap [render] [proxy flags]
       pilotboat bootstrap validate [FILE] [proxy flags]
       pilotboat bootstrap diff FILE FILE
       pilotboat bootstrap diff --run-folder FOLDER [proxy flags]

Envoy's bootstrap as "pilotboat proxy" would write it here; nothing is started or written.

  render     print it
  validate   have the real Envoy check it, or FILE in its place; prints OK, or what Envoy says with exit code 1; with -v
             that in any case
  diff       two files, or a running agent's against what would be rendered now, by path and not by line;
             exit code 1 when they differ

Examples:
  pilotboat bootstrap render sidecar
  PROXY_CONFIG='{"statsdUdpAddress":"127.0.0.1:9125"}' pilotboat bootstrap validate
  pilotboat bootstrap validate envoy.yaml
  pilotboat bootstrap diff before.json after.json
`;

/** `pilotboat bootstrap [render|validate|diff]`. */
export async function run(args: readonly string[], host: Host): Promise<number> {
  if (args.includes("--help") || args.includes("-h")) {
    host.stdout.write(HELP);
    return 0;
  }
  const [first, ...rest] = args;
  if (first === "validate") return validate(rest, host);
  if (first === "diff") return diff(rest, host);
  writeExact(host.stdout, (await render(first === "render" ? rest : args, host)).text);
  return 0;
}

interface RenderedHere {
  readonly config: AgentConfig;
  readonly text: string;
  /** How Envoy tells the form of the text: by the name of its file. */
  readonly extension: string;
}

const SUB_COMMANDS = ["render", "validate", "diff"];

async function render(args: readonly string[], host: Host): Promise<RenderedHere> {
  checkProxyWords("bootstrap", SUB_COMMANDS, args);
  const { config, warnings } = await loadProxyWords(args, host);
  const node = await lookAtNode(config, silentLogger, host.signals.stop);
  const rendered = await renderFor(config, node);
  const { content, extension } = rendered;
  const all = [...warnings.map(formatProblem), ...node.warnings, ...rendered.warnings];
  for (const warning of all) host.stderr.write(`warning: ${escapeLine(warning)}\n`);
  const text = typeof content === "string" ? content : `${JSON.stringify(content, null, 2)}\n`;
  return { config, text, extension };
}

async function validate(words: readonly string[], host: Host): Promise<number> {
  const args = words.filter((word) => !VERBOSE.includes(word));
  const isVerbose = args.length < words.length;
  const { file, flags } = splitFile(args);
  if (file !== undefined) {
    await checkNamedFile(resolve(host.cwd, file), "the file to validate");
    const { config } = await loadProxyWords(flags, host);
    return check({ config, file, cwd: host.cwd, overlay: [] }, isVerbose, host);
  }
  const { config, text, extension } = await render(args, host);
  const folder = await makeTemporaryFolder(temporaryPlace(host), "pilotboat-validate-");
  try {
    const rendered = join(folder, `bootstrap.${extension}`);
    await writeFileAtomically(rendered, text);
    const overlay = config.envoyOverlay === "" ? [] : ["--config-yaml", config.envoyOverlay];
    const cwd = (await isThere(config.cwd)) ? config.cwd : folder; // proxy would make it, empty
    return await check({ config, file: rendered, cwd, overlay }, isVerbose, host);
  } finally {
    await removeTree(folder);
  }
}

/** A word that is no proxy type is a file; a file with the name of one is written `./router`. Throws USAGE. */
function splitFile(args: readonly string[]): { file: string | undefined; flags: readonly string[] } {
  const { given, positionals } = parseFlags(ALL_FLAGS, args, { isLenient: true });
  const [file, ...more] = positionals.filter((word, at) => at > 0 || !PROXY_ROLES.includes(word));
  if (more.length > 0) {
    throw new AgentError("USAGE", `Cannot validate ${more.length + 1} files at once`, { hint: "Name one" });
  }
  const flags = [...given].flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map((one) => `--${name}=${String(one)}`),
  );
  return { file, flags };
}

interface Check {
  /** Says which Envoy. */
  readonly config: AgentConfig;
  /** As Envoy is to open it, relative to `cwd` or absolute. */
  readonly file: string;
  readonly cwd: string;
  readonly overlay: readonly string[];
}

async function check({ config, file, cwd, overlay }: Check, isVerbose: boolean, host: Host): Promise<number> {
  const envoy = await findEnvoy({ ...wantedEnvoy(config), env: host.env });
  if (envoy === undefined) {
    throw new AgentError("ENVOY_NOT_FOUND", "Cannot validate: there is no Envoy here", {
      hint: 'Run "pilotboat envoy fetch", or name one with --envoy',
    });
  }
  const command = {
    binary: envoy.path,
    args: ["-c", file, "--allow-unknown-static-fields", ...overlay],
    cwd,
    env: host.env,
    runAs: undefined,
    setpriv: await findSetpriv(host.env.PATH),
    output: new OutputSource({
      ...{
        folders: [temporaryPlace(host).folder, "/dev/shm"],
        path: host.env.PATH,
        owner: undefined,
        ownStdout: undefined,
      },
      log: { warn: (message) => void host.stderr.write(`warning: ${message}\n`) },
    }),
  };
  const { isValid, output } = await validateConfig(command, host.signals.stop);
  host.stdout.write(!isValid || isVerbose ? output : `${unknownFields(output)}OK\n`);
  return isValid ? 0 : 1;
}

/** The one thing that Envoy passes over here and that is a mistake all the same. */
function unknownFields(output: string): string {
  const lines = output.split("\n").filter((line) => /unknown field/i.test(line));
  return lines.map((line) => `${line}\n`).join("");
}

const VERBOSE: readonly string[] = ["-v", "--verbose"];

function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

async function diff(args: readonly string[], host: Host): Promise<number> {
  const [before, after] = await documentsOf(args, host);
  const differences = diffByPath(before, after);
  for (const difference of differences) host.stdout.write(`${describeDifference(difference)}\n`);
  if (differences.length === 0) host.stdout.write("no differences\n");
  return differences.length === 0 ? 0 : 1;
}

async function documentsOf(args: readonly string[], host: Host): Promise<readonly [JsonValue, JsonValue]> {
  const isAgainstAgent = args.some((word) => word.startsWith("--run-folder"));
  if (!isAgainstAgent) {
    const [one, two, ...more] = args;
    if (one === undefined || two === undefined || more.length > 0) {
      throw new AgentError("USAGE", "Cannot compare: wanted two files, or --run-folder", {
        hint: 'See "pilotboat bootstrap --help"',
      });
    }
    return [await readDocument(resolve(host.cwd, one)), await readDocument(resolve(host.cwd, two))];
  }
  const { config, text, extension } = await render(args, host);
  const { customConfigFile, configPath } = config.proxy;
  const file = customConfigFile === "" ? join(configPath, `envoy-rev.${extension}`) : customConfigFile;
  return [await readDocument(resolve(config.cwd, file)), parseDocument(text, "what would be rendered now")];
}

async function readDocument(path: string): Promise<JsonValue> {
  return parseDocument(await readNamedFile(path, "a file to compare"), `"${path}"`);
}

/** JSON or YAML: a template makes either. */
function parseDocument(text: string, shown: string): JsonValue {
  try {
    return parse(text) as JsonValue;
  } catch (error) {
    throw new AgentError("FILE_UNREADABLE", `Cannot compare ${shown}: ${describeError(error)}`, { cause: error });
  }
}
