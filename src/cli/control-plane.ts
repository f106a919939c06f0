import type { Host } from "../host/index.ts";
import { type Command, defineCommand } from "./contract/index.ts";

const NAMESPACE = { name: "namespace", shorthand: "n", type: "string", default: "default", value: "NAME" } as const;
const SERVICE_ACCOUNT = { name: "service-account", type: "string", value: "NAME" } as const;
const CREDENTIALS = { name: "write-credentials", type: "string", default: undefined, value: "FOLDER" } as const;

const TOKEN_FLAGS = [
  { ...NAMESPACE, help: "Namespace of the workload" },
  { ...SERVICE_ACCOUNT, default: undefined, help: "Its service account; required" },
  {
    name: "port",
    type: "string",
    default: undefined,
    help: "Port of the control plane; default: the only one that runs",
    value: "PORT",
  },
  {
    name: "duration",
    type: "string",
    default: undefined,
    help: "How long the token is valid, for example 30m; default: 12h",
    value: "TIME",
  },
  { ...CREDENTIALS, help: "Write it, with the root certificate, where a sidecar in that folder looks" },
] as const;

const tokenCommand = defineCommand({
  name: "token",
  summary: "Print a token of a running control plane, so that another workload can join",
  flags: TOKEN_FLAGS,
  examples: [
    "pilotboat control-plane token -n shop --service-account cart",
    "pilotboat control-plane token -n shop --service-account cart --write-credentials ~/cart",
  ],
  similar: ["jwt", "credentials"],
  async run({ flags, usage }, host) {
    const { "service-account": serviceAccount } = flags;
    if (serviceAccount === undefined) throw usage("Missing --service-account NAME");
    const { mintToken } = await import("./control-plane-token.ts");
    await mintToken({ ...flags, serviceAccount, writeCredentials: flags["write-credentials"] }, host);
    return 0;
  },
});

const FLAGS = [
  {
    name: "dir",
    type: "string",
    default: undefined,
    help: "Folder with YAML files of Envoy resources, watched for changes; required without --replay",
    value: "FOLDER",
  },
  {
    name: "replay",
    type: "string",
    default: undefined,
    help: "Serve a recording of pilotboat xds record, in place of a folder, to every node; watched for changes",
    value: "FILE",
  },
  { name: "host", type: "string", default: "127.0.0.1", help: "Address to listen on", value: "ADDRESS" },
  { name: "port", type: "string", default: "15012", help: "Port to listen on; 0 chooses a free one", value: "PORT" },
  {
    name: "plaintext-port",
    type: "string",
    default: undefined,
    help: "Also serve ADS without TLS on this port of 127.0.0.1, to anybody, all but secrets; 0 chooses a free one",
    value: "PORT",
  },
  {
    name: "debug-port",
    type: "string",
    default: undefined,
    help: "Also serve istiod's debug endpoints over HTTP on this port of 127.0.0.1; 0 chooses a free one",
    value: "PORT",
  },
  { name: "trust-domain", type: "string", default: "cluster.local", help: "SPIFFE trust domain", value: "NAME" },
  {
    name: "set",
    type: "strings",
    default: [],
    help: "Value for a placeholder in the files; may be repeated",
    value: "NAME=VALUE",
  },
  {
    name: "ca-dir",
    type: "string",
    default: undefined,
    help: "Keep root and token key there, which may be one of Istio's cacerts; default: new at each start",
    value: "FOLDER",
  },
  { ...CREDENTIALS, help: "Write a token and the root certificate where a sidecar in that folder looks" },
  { ...NAMESPACE, help: "Namespace of that token; NAMESPACE in the files" },
  { ...SERVICE_ACCOUNT, default: "quickstart", help: "Its service account; SERVICE_ACCOUNT in the files" },
  { name: "with-service", type: "bool", default: false, help: "Also start the example service, on APP_PORT (15081)" },
] as const;

export const command: Command = defineCommand({
  name: "control-plane",
  group: "control plane",
  summary: "A development istiod: certificate authority and ADS from a folder of YAML",
  usage: ["--dir FOLDER [flags]", "--replay FILE [flags]", "token [flags]"],
  flags: FLAGS,
  examples: [
    "pilotboat control-plane --dir examples/quickstart/xds --with-service --write-credentials ~/sidecar",
    "pilotboat control-plane --dir my-mesh --port 0 --set OUTBOUND_PORT=18080",
    "pilotboat control-plane --dir my-mesh --ca-dir ~/.my-mesh-ca     # the same root after a restart",
    "pilotboat control-plane --dir my-mesh --plaintext-port 15010 --debug-port 15014     # for grpcurl, istioctl and curl",
    "pilotboat control-plane --replay mesh.jsonl --write-credentials ~/sidecar",
    "pilotboat control-plane token -n shop --service-account cart     # while it runs: for another workload",
  ],
  similar: ["istiod", "discovery"],
  commands: [tokenCommand],
  async run({ flags, usage }, host: Host) {
    const { dir, replay } = flags;
    if (dir !== undefined && replay !== undefined) throw usage("Cannot serve both --dir and --replay");
    const resources = dir ?? replay;
    if (resources === undefined) throw usage("Missing --dir FOLDER, or --replay FILE");
    const { serve } = await import("./control-plane-serve.ts");
    const serviceAccount = flags["service-account"];
    await serve({ ...flags, resources, isRecording: dir === undefined, serviceAccount }, host);
    return 0;
  },
});
