import { join } from "node:path";
import { AgentError, allSettled, type Clock, Secret, stageFile, systemClock } from "../../base/index.ts";
import { PATHS } from "../../istio/index.ts";
import type { Cluster } from "../../kubernetes/index.ts";
import { findMeshRoot, type MeshRoot } from "./root-certificate.ts";

/** Whose token, and for how long. */
export interface CredentialsOptions {
  readonly cluster: Cluster;
  readonly namespace: string;
  readonly serviceAccount: string;
  /** One of istiod's TOKEN_AUDIENCES. Default `istio-ca`. */
  readonly audience?: string;
  /** Lifetime to ask for, at least 600 s; the API server may give less. Default 12 h, as injected pods have. */
  readonly seconds?: number;
  /** Ties the token to a pod: it ends with it. */
  readonly pod?: { readonly name: string; readonly uid: string } | undefined;
  /** Where istiod runs. Default `istio-system`. */
  readonly istioNamespace?: string;
  readonly clock?: Clock;
}

/** What an agent needs to be believed by istiod, and to believe it. */
export interface ClusterCredentials {
  readonly token: Secret;
  readonly audience: string;
  /** By this machine's clock: the lifetime counts from now, whatever the API server's clock says. */
  readonly expiresAtMs: number;
  readonly root: MeshRoot;
}

const ISTIO_AUDIENCE = "istio-ca";
export const ISTIO_NAMESPACE = "istio-system";
const DEFAULT_SECONDS = 43_200;

/**
 * A token of the service account and the mesh's root. Rejects with what the cluster rejects with, KUBE_REFUSED for an
 * answer without a token, or ROOT_CA_UNUSABLE.
 */
export async function fetchCredentials(options: CredentialsOptions, signal: AbortSignal): Promise<ClusterCredentials> {
  const { cluster, namespace, istioNamespace = ISTIO_NAMESPACE, audience = ISTIO_AUDIENCE } = options;
  const [granted, root] = await allSettled([
    requestToken(options, audience, signal),
    findMeshRoot(cluster, { namespace, istioNamespace }, signal),
  ]);
  return { ...granted, audience, root };
}

/** Source: Kubernetes API, authentication.k8s.io/v1 TokenRequest. */
async function requestToken(options: CredentialsOptions, audience: string, signal: AbortSignal) {
  const { cluster, namespace, serviceAccount, seconds = DEFAULT_SECONDS, pod, clock = systemClock } = options;
  const what = { resource: "serviceaccounts", namespace, name: serviceAccount, subresource: "token" };
  const bound = pod === undefined ? {} : { boundObjectRef: { apiVersion: "v1", kind: "Pod", ...pod } };
  const spec = { audiences: [audience], expirationSeconds: seconds, ...bound };
  const body = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec };
  const askedMs = clock.now();
  const { status } = (await cluster.create(what, body, signal)) as { readonly status?: { readonly token?: unknown } };
  if (typeof status?.token !== "string" || status.token === "") {
    const text = `Cannot create a token of service account "${serviceAccount}" in namespace "${namespace}": the answer has none`;
    throw new AgentError("KUBE_REFUSED", text);
  }
  return { token: new Secret(status.token), expiresAtMs: askedMs + (lifetimeMs(status.token) ?? seconds * 1_000) };
}

/** From the token's own two times, which are of one clock. */
function lifetimeMs(token: string): number | undefined {
  try {
    const text = Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8");
    const { exp, iat } = JSON.parse(text) as { readonly exp?: unknown; readonly iat?: unknown };
    return typeof exp === "number" && typeof iat === "number" ? (exp - iat) * 1_000 : undefined;
  } catch {
    return undefined; // no JWT, then what was asked for holds
  }
}

/** Where in a run folder both are. */
export function credentialFiles(folder: string): { readonly token: string; readonly root: string } {
  return { token: join(folder, PATHS.token), root: join(folder, PATHS.controlPlaneRoot) };
}

/**
 * Writes both where an agent in `folder` looks, mode 0600: either both or, should a disk be full, none. Readers see old or
 * new content, never a part. Rejects with FILE_UNWRITABLE or UNTRUSTED_PATH.
 */
export async function writeCredentialFiles(folder: string, { token, root }: ClusterCredentials): Promise<void> {
  const files = credentialFiles(folder);
  const staged = [await stageFile(files.root, root.pem)];
  try {
    staged.push(await stageFile(files.token, token.reveal()));
    for (const file of staged) await file.commit();
  } finally {
    for (const file of staged) await file.discard();
  }
}
