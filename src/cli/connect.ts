import { Option } from "commander";
import { createLogger } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import { forwardIstiod, type IstiodForward } from "../local/cluster/index.ts";
import { type ClusterWords, openNamedCluster, withClusterWords } from "./cluster-words.ts";
import { runCommander } from "./command.ts";
import { parsePort } from "./parse-port.ts";

interface Flags extends ClusterWords {
  readonly revision?: string;
  readonly port: string;
  readonly output?: string;
}

const EXAMPLES = `
Each connection goes through the API server to a pod that is ready, to another one when that pod is gone.

Examples:
  pilotboat connect
  pilotboat connect --revision canary --port 15012
  pilotboat connect --context kind-dev --istio-namespace mesh-system -o json`;

/** `pilotboat connect`. */
export function run(args: readonly string[], host: Host): Promise<number> {
  return runCommander("connect", args, host, (program) => {
    withClusterWords(
      program
        .description("Open a port on this machine behind which the cluster's istiod answers")
        .option("--revision <name>", 'which istiod; default: "default", or the only one there is')
        .option("--port <port>", "port on 127.0.0.1; 0 takes a free one", "0"),
    )
      .addOption(new Option("-o, --output <format>", "for programs").choices(["json"]))
      .addHelpText("after", EXAMPLES)
      .action((flags: Flags) => connect(flags, host));
  });
}

async function connect(flags: Flags, host: Host): Promise<void> {
  const { stop } = host.signals;
  const port = parsePort("--port", flags.port);
  const cluster = await openNamedCluster(flags, host);
  const { istioNamespace, revision } = flags;
  const log = createLogger({ write: (line) => host.stderr.write(line) });
  await using forward = await forwardIstiod({ cluster, istioNamespace, revision, port, log }, stop);
  host.stdout.write(
    flags.output === "json" ? `${JSON.stringify(describe(forward, flags), null, 2)}\n` : asText(forward, flags),
  );
  await new Promise<void>((done) => {
    if (stop.aborted) done();
    stop.addEventListener("abort", () => done(), { once: true });
  });
}

function describe({ port, istiodSan, revision, pod }: IstiodForward, { istioNamespace }: Flags) {
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
