import { AGENT_FLAGS, AGENT_FOLDER } from "./agent-place.ts";
import { type Command, defineCommand } from "./contract/index.ts";

/** Flags of every sub-command; those of istioctl have its names. */
const FLAGS = [
  {
    name: "file",
    shorthand: "f",
    type: "string",
    default: undefined,
    help: "A dump of Envoy instead of an agent; - reads stdin",
    value: "FILE",
  },
  {
    name: "proxy-admin-port",
    type: "int",
    default: undefined,
    help: "Admin port of an Envoy on this machine, instead of an agent",
    value: "PORT",
  },
  {
    name: "output",
    shorthand: "o",
    type: "string",
    default: "short",
    help: "Form of the output",
    value: "short|json|yaml",
  },
  ...AGENT_FLAGS,
] as const;

const text = <const N extends string>(name: N, help: string) =>
  ({ name, type: "string", default: "", help, value: "TEXT" }) as const;
const port = { name: "port", type: "int", default: 0, help: "Only those of this port", value: "PORT" } as const;
const address = text("address", "Only those of this address");
const verbose = { name: "verbose", type: "bool", default: true, help: "A line for each chain or route" } as const;

const clusters = defineCommand({
  name: "clusters",
  summary: "Clusters: service, port, subset, direction, type, destination rule",
  arguments: [AGENT_FOLDER],
  flags: [
    text("fqdn", "Only those whose service has this in its name"),
    port,
    text("subset", "Only those whose subset has this in its name"),
    text("direction", "Only those of this direction: inbound or outbound"),
    ...FLAGS,
  ],
  examples: ["pilotboat proxy-config clusters --fqdn reviews", "pilotboat pc clusters ~/sidecar -o json"],
  aliases: ["cluster", "c"],
  similar: ["cds"],
  async run({ flags, words: [folder] }, host) {
    const { showDump } = await import("./proxy-config-show.ts");
    return showDump(host, { ...flags, folder, kind: "configuration" }, (rooms, dump) =>
      rooms.showClusters(dump, flags),
    );
  },
});

const listeners = defineCommand({
  name: "listeners",
  summary: "Listeners: addresses, port, match of each filter chain, destination",
  arguments: [AGENT_FOLDER],
  flags: [address, port, text("type", "Only those of this type: HTTP, TCP or HTTP+TCP"), verbose, ...FLAGS],
  examples: [
    "pilotboat proxy-config listeners --port 15006",
    "curl -s localhost:15000/config_dump | pilotboat pc listeners -f -",
  ],
  aliases: ["listener", "l"],
  similar: ["lds"],
  async run({ flags, words: [folder] }, host) {
    const { showDump } = await import("./proxy-config-show.ts");
    return showDump(host, { ...flags, folder, kind: "configuration" }, (rooms, dump) =>
      rooms.showListeners(dump, { ...flags, isVerbose: flags.verbose }),
    );
  },
});

const routes = defineCommand({
  name: "routes",
  summary: "Routes: name, virtual host, domains, match, virtual service",
  arguments: [AGENT_FOLDER],
  flags: [text("name", "Only the route configuration of this name"), verbose, ...FLAGS],
  examples: ["pilotboat proxy-config routes --name 80"],
  aliases: ["route", "r"],
  similar: ["rds"],
  async run({ flags, words: [folder] }, host) {
    const { showDump } = await import("./proxy-config-show.ts");
    return showDump(host, { ...flags, folder, kind: "configuration" }, (rooms, dump) =>
      rooms.showRoutes(dump, { ...flags, isVerbose: flags.verbose }),
    );
  },
});

const endpoints = defineCommand({
  name: "endpoints",
  summary: "Endpoints: address, health, outlier check, cluster",
  description: [
    "Endpoints: address, health, outlier check, cluster.",
    'A --file is the answer of Envoy\'s admin API to "/clusters?format=json"; of "/config_dump?include_eds" the table is that of "istioctl proxy-config eds".',
  ],
  arguments: [AGENT_FOLDER],
  flags: [
    address,
    port,
    text("cluster", "Only those of this cluster"),
    text("status", "Only those of this health: healthy, unhealthy, draining, degraded"),
    ...FLAGS,
  ],
  examples: ["pilotboat proxy-config endpoints --cluster 'outbound|8080||web.default.svc.cluster.local'"],
  aliases: ["endpoint", "ep"],
  similar: ["eds"],
  async run({ flags, words: [folder] }, host) {
    const { showDump } = await import("./proxy-config-show.ts");
    return showDump(host, { ...flags, folder, kind: "endpoints" }, (rooms, dump) => rooms.showEndpoints(dump, flags));
  },
});

const secrets = defineCommand({
  name: "secrets",
  summary: "Secrets: certificates and roots with serial number and validity, never a key",
  arguments: [AGENT_FOLDER],
  flags: FLAGS,
  examples: ["pilotboat proxy-config secrets"],
  aliases: ["secret", "s"],
  similar: ["sds"],
  async run({ flags, words: [folder] }, host) {
    const { showDump } = await import("./proxy-config-show.ts");
    return showDump(host, { ...flags, folder, kind: "secrets" }, (rooms, dump) => rooms.showSecrets(dump, Date.now()));
  },
});

export const command: Command = defineCommand({
  name: "proxy-config",
  group: "look",
  summary: "What an Envoy has: clusters, listeners, routes, endpoints, secrets",
  description: [
    "Shows the configuration of a running agent's Envoy, or of a saved dump, in the tables of istioctl proxy-config.",
  ],
  usage: ["COMMAND [FOLDER] [flags]"],
  flags: [],
  commands: [clusters, listeners, routes, endpoints, secrets],
  examples: ["pilotboat proxy-config clusters", "pilotboat pc endpoints ~/sidecar --status unhealthy"],
  aliases: ["pc"],
  similar: ["config-dump"],
});
