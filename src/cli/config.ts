import { resolve } from "node:path";
import type { Host } from "../host/index.ts";
import { type Command, defineCommand, PROXY_TYPE } from "./contract/index.ts";
import { printWarnings } from "./print-error.ts";
import { writeExact } from "./terminal/index.ts";

const FLAGS = [
  { name: "output", shorthand: "o", type: "string", default: "yaml", help: "Form of the output", value: "yaml|json" },
] as const;

const explainCommand = defineCommand({
  name: "explain",
  summary: "One variable, flag or ProxyConfig field: meaning, default, value, and every source that set it",
  usage: ["NAME [TYPE] [flags]"],
  arguments: [{ name: "SETTING", help: "Name of a variable, a flag or a field" }, PROXY_TYPE],
  flags: [],
  takesProxyFlags: true,
  words: "passing",
  examples: ["pilotboat config explain drainDuration", "pilotboat config explain SECRET_TTL"],
  similar: ["describe"],
  async run(input, host) {
    const { explain } = await import("./config-explain.ts");
    return explain(input, host);
  },
});

const nodeCommand = defineCommand({
  name: "node",
  summary: "The node that Envoy presents to the control plane: each metadata key with its source",
  usage: ["[TYPE] [flags]"],
  arguments: [PROXY_TYPE],
  flags: FLAGS,
  takesProxyFlags: true,
  words: "passing",
  examples: ["pilotboat config node", "pilotboat config node router -o json"],
  async run({ flags, words }, host) {
    const { showNode } = await import("./config-node.ts");
    return showNode(words, flags.output === "json", host);
  },
});

const substituteCommand = defineCommand({
  name: "substitute",
  summary: "The file with $NAME and ${NAME} replaced by variables, as envsubst does",
  arguments: [{ name: "FILE", help: "The file to read" }],
  flags: [],
  examples: ["pilotboat config substitute proxy.yaml"],
  similar: ["envsubst"],
  async run({ words: [file = ""] }, host) {
    const [{ substitute }, { readNamedFile }] = await Promise.all([
      import("../config/index.ts"),
      import("./named-path.ts"),
    ]);
    const text = await readNamedFile(resolve(host.cwd, file), "the file to substitute in");
    writeExact(host.stdout, substitute(text, host.env));
    return 0;
  },
});

export const command: Command = defineCommand({
  name: "config",
  group: "look",
  summary: "The effective configuration, and the source of each value",
  description: [
    'The configuration that "pilotboat proxy" would run with here, and the source of each value. It reads everything (flags, variables, mesh file, annotations) and starts nothing. Tokens and keys are hidden.',
  ],
  usage: ["[TYPE] [flags]", "COMMAND [flags]"],
  arguments: [PROXY_TYPE],
  flags: FLAGS,
  takesProxyFlags: true,
  words: "passing",
  examples: ["pilotboat config", "pilotboat config router --concurrency 2 -o json"],
  similar: ["settings", "env"],
  commands: [explainCommand, nodeCommand, substituteCommand],
  run: ({ flags, words }, host) => show(words, flags.output === "json", host),
});

async function show(args: readonly string[], isJson: boolean, host: Host): Promise<number> {
  const [{ loadProxyWords }, { configEntries, formatProblem }, { entriesAsJson, entriesAsYaml }] = await Promise.all([
    import("./proxy-words.ts"),
    import("../config/index.ts"),
    import("./config-print.ts"),
  ]);
  const { config, warnings } = await loadProxyWords(args, host, { isPositioned: true });
  printWarnings(host, warnings.map(formatProblem));
  const print = isJson ? entriesAsJson : entriesAsYaml;
  host.stdout.write(print(config.role, configEntries(config)));
  return 0;
}
