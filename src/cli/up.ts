import { defineCommand } from "./contract/index.ts";

const FLAGS = [
  {
    name: "envoy",
    type: "string",
    default: undefined,
    help: "Envoy's executable; default: found, else fetched",
    value: "FILE",
  },
  {
    name: "envoy-version",
    type: "string",
    default: undefined,
    help: "The only Envoy to accept, such as 1.38.3 or istio-1.31.0",
    value: "VERSION",
  },
  {
    name: "port",
    type: "string",
    default: undefined,
    help: "Port of the listener to send requests to; default: a free one",
    value: "PORT",
  },
  {
    name: "app-port",
    type: "string",
    default: undefined,
    help: "Port of your own service on 127.0.0.1; default: an example service is started",
    value: "PORT",
  },
  {
    name: "netns",
    type: "bool",
    default: false,
    help: "Give the application a network namespace, whose traffic all goes through Envoy (Linux, root)",
  },
  { name: "verbose", shorthand: "v", type: "bool", default: false, help: "Show the log lines of agent and Envoy" },
] as const;

export const command = defineCommand({
  name: "up",
  group: "run",
  summary: "Embedded control plane, agent, Envoy and an example service, without a cluster",
  arguments: [
    {
      name: "FOLDER",
      help: "Folder with YAML files of Envoy resources; default: the built-in quickstart",
      isOptional: true,
    },
  ],
  flags: FLAGS,
  examples: [
    "pilotboat up                          # a mesh of one, from the built-in quickstart",
    "pilotboat up --app-port 3000          # the same with your own service behind it",
    "pilotboat up my-mesh --port 8080      # Envoy resources of your own; edit them while it runs",
    "sudo pilotboat up --netns             # for programs of `run --transparent`, whose traffic is redirected",
  ],
  similar: ["start", "quickstart", "demo", "dev", "serve"],
  async run({ flags, words: [folder] }, host) {
    const { up } = await import("./up-mesh.ts");
    return up({ ...flags, folder, envoyVersion: flags["envoy-version"], appPort: flags["app-port"] }, host);
  },
});
