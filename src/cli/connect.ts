import { aborted, createLogger } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import type { IstiodForward } from "../local/cluster/index.ts";
import { JSON_FLAG } from "./agent-place.ts";
import { CLUSTER_FLAGS, openNamedCluster } from "./cluster-words.ts";
import { defineCommand, type Input } from "./contract/index.ts";
import { parsePort } from "./parse-port.ts";

const FLAGS = [
  {
    name: "revision",
    type: "string",
    default: undefined,
    help: 'Which istiod; default: "default", or the only one there is',
    value: "NAME",
  },
  { name: "port", type: "string", default: "0", help: "Port on 127.0.0.1; 0 chooses a free one", value: "PORT" },
  ...CLUSTER_FLAGS,
  JSON_FLAG,
] as const;

type Flags = Input<typeof FLAGS>["flags"];

export const command = defineCommand({
  name: "connect",
  group: "cluster",
  summary: "A port on this machine behind which the cluster's istiod answers",
  description: [
    "Opens a port on this machine behind which the cluster's istiod answers.",
    "Each connection goes through the API server to a pod that is ready, and to another one when that pod is gone.",
  ],
  flags: FLAGS,
  examples: [
    "pilotboat connect",
    "pilotboat connect --revision canary --port 15012",
    "pilotboat connect --context kind-dev --istio-namespace mesh-system -o json",
  ],
  similar: ["port-forward", "tunnel"],
  async run({ flags }, host) {
    await connect(flags, host);
    return 0;
  },
});

async function connect(flags: Flags, host: Host): Promise<void> {
  const { stop } = host.signals;
  const port = parsePort("--port", flags.port);
  const cluster = await openNamedCluster(flags, host);
  const { "istio-namespace": istioNamespace, revision } = flags;
  const { forwardIstiod } = await import("../local/cluster/index.ts");
  const log = createLogger({ write: (line) => host.stderr.write(line) });
  await using forward = await forwardIstiod({ cluster, istioNamespace, revision, port, log }, stop);
  host.stdout.write(
    flags.output === "json" ? `${JSON.stringify(describe(forward, flags), null, 2)}\n` : asText(forward, flags),
  );
  await aborted(stop);
}

function describe({ port, istiodSan, revision, pod }: IstiodForward, { "istio-namespace": istioNamespace }: Flags) {
  return { discoveryAddress: `localhost:${port}`, istiodSan, revision, istioNamespace, pod: pod() };
}

function asText(forward: IstiodForward, flags: Flags): string {
  const { discoveryAddress, istiodSan, revision, istioNamespace, pod } = describe(forward, flags);
  return [
    `istiod  ${discoveryAddress}, now pod ${pod} in ${istioNamespace}, revision ${revision}`,
    `        for a sidecar: ISTIOD_SAN=${istiodSan} PROXY_CONFIG='{"discoveryAddress":"${discoveryAddress}"}'`,
    "",
  ].join("\n");
}
