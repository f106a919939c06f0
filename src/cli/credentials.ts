import { X509Certificate } from "node:crypto";
import { resolve } from "node:path";
import { Option } from "commander";
import { AgentError, createLogger } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import { isServiceAccountName, KUBERNETES_NAME } from "../istio/index.ts";
import type { Cluster } from "../kubernetes/index.ts";
import {
  type ClusterCredentials,
  type CredentialsOptions,
  credentialFiles,
  fetchCredentials,
  keepCredentials,
  writeCredentialFiles,
} from "../local/cluster/index.ts";
import {
  type ClusterWords,
  checkNamespace,
  openNamedCluster,
  parseDuration,
  withClusterWords,
} from "./cluster-words.ts";
import { runCommander } from "./command.ts";

interface Flags extends ClusterWords {
  readonly namespace?: string;
  readonly serviceAccount: string;
  readonly audience: string;
  readonly duration: string;
  readonly pod?: string;
  readonly runFolder: string;
  readonly keep?: boolean;
  readonly output?: string;
}

const EXAMPLES = `
The files are those of a sidecar that runs in the folder: var/run/secrets/tokens/istio-token and
var/run/secrets/istio/root-cert.pem, mode 0600.

Examples:
  pilotboat credentials -n shop --service-account cart --run-folder ~/cart
  pilotboat credentials -n shop --service-account cart --run-folder ~/cart --keep   # renews them until Ctrl-C
  pilotboat credentials --context kind-dev --duration 1h -o json`;

/** The least that an API server grants. */
const LEAST_MS = 600_000;

/** `pilotboat credentials`. */
export function run(args: readonly string[], host: Host): Promise<number> {
  return runCommander("credentials", args, host, (program) => {
    withClusterWords(
      program
        .description("Get a token of a service account and the mesh's root certificate, for a sidecar on this machine")
        .option("-n, --namespace <name>", "namespace of the service account; default: that of the context")
        .option("--service-account <name>", "whose token", "default"),
    )
      .option("--duration <time>", "lifetime of the token to ask for, at least 10m", "12h")
      .option("--audience <name>", "whom the token is for, one of istiod's TOKEN_AUDIENCES", "istio-ca")
      .option("--pod <name>", "tie the token to this pod: it ends with it")
      .option("--run-folder <folder>", "where the sidecar runs", ".")
      .option("--keep", "stay, and renew them at half of their lifetime")
      .addOption(new Option("-o, --output <format>", "for programs").choices(["json"]))
      .addHelpText("after", EXAMPLES)
      .action((flags: Flags) => obtain(flags, host));
  });
}

async function obtain(flags: Flags, host: Host): Promise<void> {
  const { stop } = host.signals;
  const folder = resolve(host.cwd, flags.runFolder);
  checkFlags(flags);
  const durationMs = parseDuration("--duration", flags.duration);
  if (durationMs < LEAST_MS)
    throw new AgentError("USAGE", `Cannot use --duration "${flags.duration}", wanted 10m or more`);
  const cluster = await openNamedCluster(flags, host);
  const options: CredentialsOptions = {
    cluster,
    namespace: flags.namespace ?? cluster.namespace,
    serviceAccount: flags.serviceAccount,
    audience: flags.audience,
    seconds: Math.floor(durationMs / 1_000),
    istioNamespace: flags.istioNamespace,
    pod: await findPod(cluster, flags, stop),
  };
  const tell = (credentials: ClusterCredentials): void => {
    const told = { ...describe(options, credentials), files: credentialFiles(folder) };
    host.stdout.write(flags.output === "json" ? `${JSON.stringify(told, null, 2)}\n` : asText(told));
  };
  if (flags.keep !== true) {
    const credentials = await fetchCredentials(options, stop);
    await writeCredentialFiles(folder, credentials);
    tell(credentials);
    return;
  }
  const log = createLogger({ write: (line) => host.stderr.write(line) });
  await using kept = await keepCredentials({ ...options, folder, log }, stop);
  tell(kept.current());
  await new Promise<void>((done) => {
    if (stop.aborted) done();
    stop.addEventListener("abort", () => done(), { once: true });
  });
}

/** Throws USAGE. */
function checkFlags({ namespace, serviceAccount, audience }: Flags): void {
  if (namespace !== undefined) checkNamespace("--namespace", namespace);
  if (!isServiceAccountName(serviceAccount)) {
    throw new AgentError("USAGE", `Cannot use --service-account "${serviceAccount}", wanted ${KUBERNETES_NAME}`);
  }
  if (audience === "")
    throw new AgentError("USAGE", "Cannot use an empty --audience: such a token is for the API server");
}

async function findPod(cluster: Cluster, { pod, namespace = cluster.namespace }: Flags, stop: AbortSignal) {
  if (pod === undefined) return undefined;
  const { metadata } = await cluster.get({ resource: "pods", namespace, name: pod }, stop);
  return { name: pod, uid: metadata?.uid ?? "" };
}

function describe({ cluster, namespace, serviceAccount }: CredentialsOptions, credentials: ClusterCredentials) {
  const { fingerprint256 = "", validTo = "" } = new X509Certificate(credentials.root.pem);
  return {
    context: cluster.context,
    namespace,
    serviceAccount,
    audience: credentials.audience,
    expiresAt: new Date(credentials.expiresAtMs).toISOString().replace(/\.\d+Z$/, "Z"),
    root: {
      from: credentials.root.from,
      sha256: fingerprint256.replaceAll(":", "").toLowerCase(),
      expiresAt: new Date(validTo).toISOString().replace(/\.\d+Z$/, "Z"),
    },
  };
}

type Told = ReturnType<typeof describe> & { readonly files: ReturnType<typeof credentialFiles> };

function asText({ context, namespace, serviceAccount, audience, expiresAt, root, files }: Told): string {
  return [
    `token  ${files.token}`,
    `       of ${namespace}/${serviceAccount} in context "${context}", for ${audience}, until ${expiresAt}`,
    `root   ${files.root}`,
    `       of ${root.from}, SHA-256 ${root.sha256.slice(0, 16)}…, until ${root.expiresAt}`,
    "",
  ].join("\n");
}
