import { AgentError, describeError, parseCertificates } from "../../base/index.ts";
import type { Cluster, KubeObject, KubeResource } from "../../kubernetes/index.ts";

export interface MeshRoot {
  /** PEM, one certificate or several. */
  readonly pem: string;
  /** Where it was found, for people: `ConfigMap "istio-ca-root-cert" in namespace "shop"`. */
  readonly from: string;
}

interface Source {
  readonly what: KubeResource;
  readonly keys: readonly string[];
  readonly from: string;
  readonly isSecret: boolean;
}

/** Nobody has to read a CA's key for the first two. In `cacerts` `ca-cert.pem` may be an intermediate. */
function sourcesOf(namespace: string, istioNamespace: string): readonly Source[] {
  const configMap = (place: string): Source => ({
    what: { resource: "configmaps", namespace: place, name: "istio-ca-root-cert" },
    keys: ["root-cert.pem"],
    from: `ConfigMap "istio-ca-root-cert" in namespace "${place}"`,
    isSecret: false,
  });
  const secret = (name: string, keys: readonly string[]): Source => ({
    what: { resource: "secrets", namespace: istioNamespace, name },
    keys,
    from: `Secret "${name}" in namespace "${istioNamespace}"`,
    isSecret: true,
  });
  return [
    ...[...new Set([namespace, istioNamespace])].map(configMap),
    secret("cacerts", ["root-cert.pem", "ca.crt"]),
    secret("istio-ca-secret", ["root-cert.pem", "ca-cert.pem"]),
  ];
}

/**
 * The mesh's root, from the best source that has one: the ConfigMap that istiod writes to every namespace, the CA that was
 * plugged in, istiod's own CA. The next is asked when one is not there, may not be read, or holds no certificate. Rejects
 * with ROOT_CA_UNUSABLE, which names them all, or with what the cluster rejects with when it cannot answer.
 */
export async function findMeshRoot(
  cluster: Cluster,
  { namespace, istioNamespace }: { readonly namespace: string; readonly istioNamespace: string },
  signal: AbortSignal,
): Promise<MeshRoot> {
  const reasons: string[] = [];
  for (const source of sourcesOf(namespace, istioNamespace)) {
    const found = await cluster.get(source.what, signal).catch((error: unknown) => {
      if (!isOfTheSource(error)) throw error;
      reasons.push(describeError(error));
      return undefined;
    });
    if (found === undefined) continue;
    const pem = readRoot(found, source);
    if (pem !== undefined) return { pem, from: source.from };
    reasons.push(`${source.from} has no certificate in ${source.keys.map((key) => `"${key}"`).join(" or ")}`);
  }
  const text = `Cannot find the root certificate of the mesh in context "${cluster.context}":\n  ${reasons.join("\n  ")}`;
  const hint = `Is Istio installed there, in namespace "${istioNamespace}" (--istio-namespace)?`;
  throw new AgentError("ROOT_CA_UNUSABLE", text, { hint });
}

function isOfTheSource(error: unknown): boolean {
  return error instanceof AgentError && (error.code === "KUBE_NOT_FOUND" || error.code === "KUBE_FORBIDDEN");
}

/** Of a Secret no other value is looked at. */
function readRoot({ data }: KubeObject, { keys, isSecret }: Source): string | undefined {
  for (const key of keys) {
    const value = (data as Readonly<Record<string, unknown>> | undefined)?.[key];
    if (typeof value !== "string") continue;
    const pem = isSecret ? Buffer.from(value, "base64").toString("utf8") : value;
    if (parseCertificates(pem).length > 0) return pem;
  }
  return undefined;
}
