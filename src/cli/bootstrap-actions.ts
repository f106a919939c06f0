import { stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { parse } from "yaml";
import { lookAtNode, renderFor, wantedEnvoy } from "../agent/start-envoy/index.ts";
import {
  AgentError,
  describeError,
  readTextFile,
  removeTree,
  silentLogger,
  writeFileAtomically,
} from "../base/index.ts";
import { describeDifference, diffByPath } from "../bootstrap/index.ts";
import { type AgentConfig, formatProblem, PROXY_ROLES, parseFlags } from "../config/index.ts";
import { findEnvoy } from "../envoy/binary/index.ts";
import { validateConfig } from "../envoy/index.ts";
import { OutputSource } from "../envoy/output/index.ts";
import { findSetpriv, type Host, makeTemporaryFolder, temporaryPlace } from "../host/index.ts";
import { refuseDump } from "../istio/index.ts";
import type { JsonValue } from "../istio/mesh/index.ts";
import { type Input, PROXY_FLAGS } from "./contract/index.ts";
import { checkNamedFile, readNamedFile } from "./named-path.ts";
import { printWarnings } from "./print-error.ts";
import { loadProxyWords } from "./proxy-words.ts";
import { good, stdoutOf, warning, writeExact } from "./terminal/index.ts";

/** Prints the bootstrap that these words of `proxy` give. */
export async function printBootstrap(args: readonly string[], host: Host): Promise<number> {
  writeExact(host.stdout, (await render(args, host)).text);
  return 0;
}

interface RenderedHere {
  readonly config: AgentConfig;
  readonly text: string;
  /** How Envoy tells the form of the text: by the name of its file. */
  readonly extension: string;
}

async function render(args: readonly string[], host: Host): Promise<RenderedHere> {
  const { config, warnings } = await loadProxyWords(args, host);
  const node = await lookAtNode(config, silentLogger, host.signals.stop);
  const rendered = await renderFor(config, node);
  const { content, extension } = rendered;
  printWarnings(host, [...warnings.map(formatProblem), ...node.warnings, ...rendered.warnings]);
  const text = typeof content === "string" ? content : `${JSON.stringify(content, null, 2)}\n`;
  return { config, text, extension };
}

/** Has Envoy check the file among the words, or else what they render. Resolves with the exit code. */
export async function validate(args: readonly string[], isVerbose: boolean, host: Host): Promise<number> {
  const { file, flags } = splitFile(args);
  if (file !== undefined) {
    await checkNamedFile(resolve(host.cwd, file), "the file to validate");
    // Envoy would pass over every field of a dump; a pipe can be read once only, and is Envoy's
    refuseDump(await readTextFile(resolve(host.cwd, file)).catch(() => ""), "Cannot validate", file);
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
  const { given, positionals } = parseFlags(PROXY_FLAGS, args, { isLenient: true });
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
    throw new AgentError("ENVOY_NOT_FOUND", "Cannot validate: no Envoy found", {
      hint: 'Run "pilotboat envoy fetch", or give one with --envoy',
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
      log: { warn: (message) => printWarnings(host, [message]) },
    }),
  };
  const { isValid, output } = await validateConfig(command, host.signals.stop);
  if (!isValid || isVerbose) host.stdout.write(output);
  else stdoutOf(host).print([warning(unknownFields(output)), good("OK"), "\n"]);
  return isValid ? 0 : 1;
}

/** The one thing that Envoy passes over here and that is a mistake all the same. */
function unknownFields(output: string): string {
  const lines = output.split("\n").filter((line) => /unknown field/i.test(line));
  return lines.map((line) => `${line}\n`).join("");
}

function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** Prints what differs; resolves with 1 where something does. Rejects with USAGE. */
export async function diff({ words, usage }: Input<[]>, host: Host): Promise<number> {
  const [before, after] = await documentsOf(words, usage, host);
  const terminal = stdoutOf(host);
  const differences = diffByPath(before, after).map(describeDifference);
  for (const text of differences) terminal.print([{ text, style: STYLES[text.charAt(0)] }, "\n"]);
  if (differences.length === 0) terminal.print([good("no differences"), "\n"]);
  return differences.length === 0 ? 0 : 1;
}

/** By the sign before a difference. */
const STYLES: Readonly<Record<string, "good" | "bad" | "warning">> = { "+": "good", "-": "bad", "~": "warning" };

type Documents = readonly [JsonValue, JsonValue];

async function documentsOf(words: readonly string[], usage: Input<[]>["usage"], host: Host): Promise<Documents> {
  const { given, positionals } = parseFlags(PROXY_FLAGS, words, { isLenient: true });
  if (given.has("run-folder")) return documentsOfAgent(words, host);
  const [one, two, ...more] = positionals;
  const isFolder = one !== undefined && (await stat(resolve(host.cwd, one)).catch(() => undefined))?.isDirectory();
  if (isFolder && two === undefined) {
    return documentsOfAgent([`--run-folder=${one}`, ...words.filter((word) => word !== one)], host);
  }
  if (one === undefined || two === undefined || more.length > 0) {
    throw usage("Cannot compare: wanted two files, or the folder of an agent");
  }
  return [await readDocument(resolve(host.cwd, one)), await readDocument(resolve(host.cwd, two))];
}

async function documentsOfAgent(args: readonly string[], host: Host): Promise<Documents> {
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
