import { resolve } from "node:path";
import { AgentError } from "../base/index.ts";
import { type AgentConfig, configEntries, formatProblem, substitute } from "../config/index.ts";
import { type Host, writeExact } from "../host/index.ts";
import { explain } from "./config-explain.ts";
import { showNode } from "./config-node.ts";
import { entriesAsJson, entriesAsYaml } from "./config-print.ts";
import { readNamedFile } from "./named-path.ts";
import { checkProxyWords, loadProxyWords } from "./proxy-words.ts";

const HELP = `Usage: pilotboat config [-o yaml|json] [proxy flags]
       pilotboat config explain NAME [proxy flags]
       pilotboat config node [-o json] [proxy flags]
       pilotboat config substitute FILE

The configuration that "pilotboat proxy" would run with here, and where each value comes from. Everything is read
(flags, variables, mesh file, annotations), nothing is started. Tokens and keys are hidden.

  explain NAME      one variable, flag or ProxyConfig field: meaning, default, value, and every source that set it
  node              the node that Envoy will present, each metadata key with where it comes from
  substitute FILE   the file with $NAME and \${NAME} replaced by variables, as envsubst does

Flags:
  -o, --output yaml|json   form of the output (default yaml)
  and all flags of "pilotboat proxy"

Examples:
  pilotboat config
  pilotboat config router --concurrency 2 -o json
  pilotboat config explain drainDuration
  pilotboat config explain SECRET_TTL
`;

/** `pilotboat config`, and its sub-commands. */
export async function run(args: readonly string[], host: Host): Promise<number> {
  if (args.includes("--help") || args.includes("-h")) {
    host.stdout.write(HELP);
    return 0;
  }
  const [first, ...rest] = args;
  switch (first) {
    case "explain":
      return explain(rest, host);
    case "node": {
      const { output, rest: flags } = takeOutput(rest);
      return showNode(flags, output === "json", host);
    }
    case "substitute":
      return substituteFile(rest, host);
    default:
      return show(args, host);
  }
}

const SUB_COMMANDS = ["explain", "node", "substitute"];

async function show(args: readonly string[], host: Host): Promise<number> {
  const { output, rest } = takeOutput(args);
  checkProxyWords("config", SUB_COMMANDS, rest);
  const { config, warnings } = await loadProxyWords(rest, host, { isPositioned: true });
  host.stderr.write(warnings.map((warning) => `warning: ${formatProblem(warning)}\n`).join(""));
  host.stdout.write(output === "json" ? entriesAsJson(config.role, configEntries(config)) : asYaml(config));
  return 0;
}

function asYaml(config: AgentConfig): string {
  return entriesAsYaml(config.role, configEntries(config));
}

async function substituteFile(args: readonly string[], host: Host): Promise<number> {
  const [file, ...more] = args;
  if (file === undefined || more.length > 0) {
    throw new AgentError("USAGE", `Wanted one file, found ${args.length}`, { hint: 'See "pilotboat config --help"' });
  }
  const text = await readNamedFile(resolve(host.cwd, file), "the file to substitute in");
  writeExact(host.stdout, substitute(text, host.env));
  return 0;
}

/** Takes `-o` and `--output` out of the words, which are the proxy's otherwise. Throws USAGE for a form we do not print. */
function takeOutput(args: readonly string[]): { output: string; rest: readonly string[] } {
  const rest: string[] = [];
  let output = "yaml";
  for (let at = 0; at < args.length; at++) {
    const word = args[at] ?? "";
    const inline = /^(?:--output=|-o=?)(.+)$/s.exec(word)?.[1];
    if (inline !== undefined) output = inline;
    else if (word === "-o" || word === "--output") output = args[++at] ?? "";
    else rest.push(word);
  }
  if (output === "yaml" || output === "json") return { output, rest };
  throw new AgentError("USAGE", `Cannot print "${output}", wanted yaml or json`);
}
