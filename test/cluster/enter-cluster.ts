import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { writeFileAtomically } from "../../src/base/index.ts";
import { connectKubeApi, type KubeApi, type KubeObject } from "./kube-api.ts";
import type { ClusterAddresses } from "./run-cluster.ts";

/** A namespace of its own in the cluster that the tests of a run share. Disposing removes it. */
export interface Cluster extends ClusterAddresses, AsyncDisposable {
  readonly namespace: string;
  readonly api: KubeApi;
  /** PEM of istiod's root. */
  readonly rootPem: string;
  /** Applies an object; one without a namespace goes into this one, if its kind has namespaces. */
  apply(object: KubeObject): Promise<KubeObject>;
  /** A token of the API server for istiod. */
  token(serviceAccount: string, options?: TokenOptions): Promise<string>;
  /** Token and root, where an agent that is started in `folder` looks. */
  writeCredentials(folder: string, serviceAccount: string, options?: TokenOptions): Promise<void>;
}

export interface TokenOptions {
  /** Of the account. Default: that of the test. */
  readonly namespace?: string;
  /** Default `istio-ca`. */
  readonly audience?: string;
  /** Lifetime, at least 600. Default an hour. */
  readonly seconds?: number;
}

/** A new namespace in a cluster that runs. */
export async function enterCluster(addresses: ClusterAddresses): Promise<Cluster> {
  const api = connectKubeApi(addresses.access);
  const namespace = `t-${randomBytes(4).toString("hex")}`;
  const inside = `/api/v1/namespaces/${namespace}`;
  await api.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } });
  const [root] = await Promise.all([
    api.until(`${inside}/configmaps/istio-ca-root-cert`, () => true),
    api.until(`${inside}/serviceaccounts/default`, () => true),
  ]);
  const rootPem = String(root.data["root-cert.pem"]);
  const token: Cluster["token"] = async (
    account,
    { namespace: of = namespace, audience = "istio-ca", seconds = 3_600 } = {},
  ) => {
    const spec = { audiences: [audience], expirationSeconds: seconds };
    const asked = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec };
    return String((await api.post(`/api/v1/namespaces/${of}/serviceaccounts/${account}/token`, asked)).status.token);
  };
  return {
    ...addresses,
    ...{ namespace, api, rootPem, token },
    apply: (object) => api.apply({ ...object, metadata: { namespace, ...object.metadata } }),
    async writeCredentials(folder, account, options) {
      await writeFileAtomically(join(folder, "var/run/secrets/tokens/istio-token"), await token(account, options));
      await writeFileAtomically(join(folder, "var/run/secrets/istio/root-cert.pem"), rootPem);
    },
    async [Symbol.asyncDispose]() {
      await api.delete(inside);
      api.close();
    },
  };
}
