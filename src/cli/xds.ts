import type { Host } from "../host/index.ts";
import { AGENT_FLAGS } from "./agent-place.ts";
import { type Argument, type Command, defineCommand } from "./contract/index.ts";

const TYPE: Argument = {
  name: "cds|eds|lds|rds|sds|ecds|nds|wds",
  help: "Type of resources: a short name, or a type URL; default: those of --file, else cds lds eds rds",
  isOptional: true,
  isRepeated: true,
};

/** Of every command that speaks to a server: which one, as whom, and what is asked. */
const SERVER_FLAGS = [
  {
    name: "address",
    shorthand: "a",
    type: "string",
    default: undefined,
    help: "The ADS server; default: that of the agent in the working directory, or of --run-folder",
    value: "HOST:PORT",
  },
  {
    name: "file",
    shorthand: "f",
    type: "string",
    default: undefined,
    help: "DiscoveryRequests as YAML or JSON, one or several; - reads stdin",
    value: "FILE",
  },
  { name: "name", type: "strings", default: [], help: "Name of a resource; may be repeated", value: "NAME" },
  { name: "delta", type: "bool", default: false, help: "Use the incremental form of ADS" },
  {
    name: "plaintext",
    type: "bool",
    default: false,
    help: "No TLS; default for port 15010, unless --root-cert is given",
  },
  {
    name: "root-cert",
    type: "string",
    default: undefined,
    help: "PEM of the roots that the server is verified by; default: those of the runtime",
    value: "FILE",
  },
  {
    name: "server-name",
    type: "string",
    default: undefined,
    help: "Name in the server's certificate; default: the host, or istiod.istio-system.svc for localhost",
    value: "NAME",
  },
  { name: "token", type: "string", default: undefined, help: "Token to send as a bearer", value: "FILE" },
  { name: "cert", type: "string", default: undefined, help: "Client certificate with its chain, PEM", value: "FILE" },
  { name: "key", type: "string", default: undefined, help: "Its key, PEM", value: "FILE" },
  { name: "node-id", type: "string", default: undefined, help: "Id of the node; default: made up", value: "ID" },
  {
    name: "namespace",
    shorthand: "n",
    type: "string",
    default: undefined,
    help: "Namespace of a made-up node; default: that of the token, else default",
    value: "NAME",
  },
  {
    name: "cluster-id",
    type: "string",
    default: undefined,
    help: "Istio's name of the cluster; default: Kubernetes",
    value: "NAME",
  },
  ...AGENT_FLAGS,
] as const;

const TIMEOUT = {
  name: "timeout",
  type: "duration",
  default: "10s",
  help: "For connection and all answers",
} as const;

const OUTPUT = {
  name: "output",
  shorthand: "o",
  type: "string",
  default: "short",
  help: "A line for each resource, or whole resources",
  value: "short|yaml|json",
} as const;

const ASKING = [
  "A short name stands for its type: cds, eds, lds, rds, sds, ecds, nds, srds, vhds, rtds, pcds, wds, wads. Any other type is named by its type URL, or by the full name of its message.",
  "Endpoints, routes, secrets and extensions are asked for by name. Without --name, and without names in --file, the names are those that clusters and listeners refer to, which are asked for first; stderr says so.",
  "Private keys, passwords and generic secrets are hidden. What no descriptor is known for is shown as base64.",
];

const get = defineCommand({
  name: "get",
  summary: "Ask an ADS server once, and print what it answers",
  description: ["Asks an ADS server once, and prints what it answers.", ...ASKING],
  usage: ["[TYPE...] [flags]"],
  arguments: [TYPE],
  flags: [...SERVER_FLAGS, TIMEOUT, OUTPUT],
  examples: [
    "pilotboat xds get cds lds                       # as the agent in this folder would",
    "pilotboat xds get eds --run-folder ~/sidecar -o yaml",
    "pilotboat xds get lds -a localhost:15012 --root-cert root.pem --token istio-token",
    "pilotboat xds get sds --name kubernetes://credential -a localhost:15012 -f request.yaml",
    "pilotboat xds get cds -a localhost:15010 --plaintext -o json",
  ],
  similar: ["fetch", "dump"],
  async run({ flags, words }, host) {
    const { getAndPrint } = await import("./xds-get.ts");
    return quietly(host, getAndPrint({ ...flags, types: words }, host));
  },
});

const watch = defineCommand({
  name: "watch",
  summary: "Ask an ADS server, and print each change until Ctrl-C",
  description: [
    "Asks an ADS server, and prints what each response changes until Ctrl-C: time, type and version, then each resource that was added (+), changed (~) or removed (-). A stream that ends is opened again; what is known already is no change.",
    ...ASKING,
  ],
  usage: ["[TYPE...] [flags]"],
  arguments: [TYPE],
  flags: [...SERVER_FLAGS, OUTPUT],
  examples: [
    "pilotboat xds watch                             # as the agent in this folder would",
    "pilotboat xds watch eds --delta --run-folder ~/sidecar",
    "pilotboat xds watch cds -o json | jq -c '[.time, .removed]'",
  ],
  similar: ["follow", "stream", "subscribe"],
  async run({ flags, words }, host) {
    const { watchAndPrint } = await import("./xds-watch.ts");
    return quietly(host, watchAndPrint({ ...flags, types: words }, host));
  },
});

const recordCommand = defineCommand({
  name: "record",
  summary: "Write what an ADS server sends to a file, which control-plane --replay serves",
  description: [
    "Asks an ADS server for everything that an Envoy would ask it for, or for these types, and writes the responses to a file that only you can read: one line of JSON for each. It ends when every type is answered, or, with --follow, at Ctrl-C.",
    "Private keys are left out, so a gateway's certificates do not work in a replay. Everything else is there as it came.",
    ...ASKING.slice(0, 2),
  ],
  usage: ["FILE [TYPE...] [flags]"],
  arguments: [
    { name: "FILE", help: "The recording; an earlier one is replaced once there is an answer" },
    { ...TYPE, help: "Type of resources; default: cds lds eds rds sds ecds nds" },
  ],
  flags: [
    ...SERVER_FLAGS,
    { ...TIMEOUT, default: undefined, help: "For connection and all answers, without --follow; default: 10s" },
    { name: "follow", type: "bool", default: false, help: "Go on with what changes, until Ctrl-C" },
  ],
  examples: [
    "pilotboat xds record mesh.jsonl --run-folder ~/sidecar",
    "pilotboat control-plane --replay mesh.jsonl --write-credentials ~/sidecar     # without any cluster",
    "pilotboat xds record session.jsonl --follow -a localhost:15010 --plaintext",
  ],
  similar: ["save", "capture"],
  async run({ flags, words: [recording = "", ...types], usage }, host) {
    if (flags.follow && flags.timeout !== undefined) {
      throw usage("Cannot use --timeout with --follow, which goes on until Ctrl-C");
    }
    const { record } = await import("./xds-record.ts");
    return quietly(host, record({ ...flags, timeout: flags.timeout ?? TIMEOUT.default, recording, types }, host));
  },
});

const diff = defineCommand({
  name: "diff",
  summary: "Compare two recordings, or dumps, by resource",
  description: [
    "Compares two files by type and name of their resources, and says which fields differ: recordings, what xds get -o json or -o yaml has printed, or config dumps of Envoy or istiod. The exit code is 0 where they are the same, 1 where they differ.",
    "The order of resources and the spelling of fields are no differences.",
  ],
  arguments: [
    { name: "FILE", help: "The first; - reads stdin" },
    { name: "FILE", help: "The second" },
  ],
  flags: [{ ...OUTPUT, help: "Lines for people, or a list of differences" }],
  examples: [
    "pilotboat xds diff before.jsonl after.jsonl",
    "pilotboat xds get -o json | pilotboat xds diff mesh.jsonl -",
    "curl -s localhost:15000/config_dump?include_eds | pilotboat xds diff mesh.jsonl - -o json",
  ],
  similar: ["compare"],
  async run({ flags, words: [first = "", second = ""], usage }, host) {
    if (first === "-" && second === "-") throw usage("Cannot read both from stdin");
    const { diffDumps } = await import("./xds-diff.ts");
    return diffDumps([first, second], flags.output, host);
  },
});

/** Who was interrupted knows why. Source: bash(1), EXIT STATUS. */
async function quietly(host: Host, work: Promise<number>): Promise<number> {
  return work.catch((error: unknown) => {
    if (!host.signals.stop.aborted) throw error;
    return INTERRUPTED;
  });
}

const INTERRUPTED = 130;

export const command: Command = defineCommand({
  name: "xds",
  group: "look",
  summary: "A client of any ADS server: ask istiod, or another control plane, yourself",
  usage: ["COMMAND [TYPE...] [flags]"],
  flags: [],
  commands: [get, watch, recordCommand, diff],
  examples: [
    "pilotboat xds get cds lds",
    "pilotboat xds watch eds --run-folder ~/sidecar",
    "pilotboat xds record mesh.jsonl",
    "pilotboat xds get eds -a localhost:15012 --root-cert root.pem --token istio-token",
  ],
  similar: ["grpcurl", "ads"],
});
