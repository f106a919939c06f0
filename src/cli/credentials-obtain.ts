import { X509Certificate } from "node:crypto";
import { resolve } from "node:path";
import { AgentError, aborted, createLogger, utcTime } from "../base/index.ts";
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
import { checkNamespace, openNamedCluster, parseDuration } from "./cluster-words.ts";
import type { Input } from "./contract/index.ts";
import type { CREDENTIALS_FLAGS } from "./credentials-flags.ts";

/** The least that an API server grants. */
const LEAST_MS = 600_000;

type Flags = Input<typeof CREDENTIALS_FLAGS>["flags"];

/** Obtains credentials, writes them, and with `--keep` renews them until a signal. */
export async function obtain(flags: Flags, host: Host): Promise<void> {
  const { stop } = host.signals;
  const folder = resolve(host.cwd, flags["run-folder"]);
  checkFlags(flags);
  const durationMs = parseDuration("--duration", flags.duration);
  if (durationMs < LEAST_MS)
    throw new AgentError("USAGE", `Cannot use --duration "${flags.duration}", wanted 10m or more`);
  const cluster = await openNamedCluster(flags, host);
  const options: CredentialsOptions = {
    cluster,
    namespace: flags.namespace ?? cluster.namespace,
    serviceAccount: flags["service-account"],
    audience: flags.audience,
    seconds: Math.floor(durationMs / 1_000),
    istioNamespace: flags["istio-namespace"],
    pod: await findPod(cluster, flags, stop),
  };
  const tell = (credentials: ClusterCredentials): void => {
    const told = { ...describe(options, credentials), files: credentialFiles(folder) };
    host.stdout.write(flags.output === "json" ? `${JSON.stringify(told, null, 2)}\n` : asText(told));
  };
  if (!flags.keep) {
    const credentials = await fetchCredentials(options, stop);
    await writeCredentialFiles(folder, credentials);
    tell(credentials);
    return;
  }
  const log = createLogger({ write: (line) => host.stderr.write(line) });
  await using kept = await keepCredentials({ ...options, folder, log }, stop);
  tell(kept.current());
  await aborted(stop);
}

/** Throws USAGE. */
function checkFlags({ namespace, "service-account": serviceAccount, audience }: Flags): void {
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
    expiresAt: utcTime(credentials.expiresAtMs),
    root: {
      from: credentials.root.from,
      sha256: fingerprint256.replaceAll(":", "").toLowerCase(),
      expiresAt: utcTime(Date.parse(validTo)),
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
