import { type Command, defineCommand, PROXY_TYPE } from "./contract/index.ts";

const renderCommand = defineCommand({
  name: "render",
  summary: "Print the bootstrap",
  usage: ["[TYPE] [flags]"],
  arguments: [PROXY_TYPE],
  flags: [],
  takesProxyFlags: true,
  words: "passing",
  examples: ["pilotboat bootstrap render sidecar"],
  async run({ words }, host) {
    const { printBootstrap } = await import("./bootstrap-actions.ts");
    return printBootstrap(words, host);
  },
});

const validateCommand = defineCommand({
  name: "validate",
  summary: "Have the real Envoy check the bootstrap, or a file",
  description: ["Has the real Envoy check the bootstrap, or a file. Prints OK; or what Envoy says, with exit code 1."],
  usage: ["[FILE] [flags]"],
  arguments: [{ name: "FILE", help: "Configuration of Envoy to check instead of the bootstrap", isOptional: true }],
  flags: [{ name: "verbose", shorthand: "v", type: "bool", default: false, help: "Print what Envoy says in any case" }],
  takesProxyFlags: true,
  words: "passing",
  examples: [
    `PROXY_CONFIG='{"statsdUdpAddress":"127.0.0.1:9125"}' pilotboat bootstrap validate`,
    "pilotboat bootstrap validate envoy.yaml",
  ],
  similar: ["check", "lint", "test"],
  async run({ flags, words }, host) {
    const { validate } = await import("./bootstrap-actions.ts");
    return validate(words, flags.verbose, host);
  },
});

const diffCommand = defineCommand({
  name: "diff",
  summary: "Compare two files, or the bootstrap of a running agent with what would be rendered now",
  description: [
    "Compares two files, or the bootstrap of a running agent with what would be rendered now. Differences are shown by path, not by line; exit code 1 when there are any.",
  ],
  usage: ["FILE FILE", "FOLDER [flags]", "--run-folder FOLDER [flags]"],
  arguments: [
    { name: "FILE", help: "JSON or YAML; or the folder in which an agent runs" },
    { name: "FILE", help: "JSON or YAML", isOptional: true },
  ],
  flags: [],
  takesProxyFlags: true,
  words: "passing",
  examples: ["pilotboat bootstrap diff before.json after.json", "pilotboat bootstrap diff ~/sidecar"],
  similar: ["compare"],
  async run(input, host) {
    const { diff } = await import("./bootstrap-actions.ts");
    return diff(input, host);
  },
});

export const command: Command = defineCommand({
  name: "bootstrap",
  group: "look",
  summary: "Envoy's bootstrap: print it, have Envoy check it, compare two",
  description: ['Envoy\'s bootstrap as "pilotboat proxy" would write it here; nothing is started or written.'],
  usage: ["[TYPE] [flags]", "COMMAND [flags]"],
  arguments: [PROXY_TYPE],
  flags: [],
  takesProxyFlags: true,
  words: "passing",
  examples: ["pilotboat bootstrap", "pilotboat bootstrap validate", "pilotboat bootstrap diff before.json after.json"],
  similar: ["template"],
  commands: [renderCommand, validateCommand, diffCommand],
  async run({ words }, host) {
    const { printBootstrap } = await import("./bootstrap-actions.ts");
    return printBootstrap(words, host);
  },
});
