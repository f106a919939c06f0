import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inject } from "vitest";
import { writeFileAtomically } from "../../src/base/index.ts";
import { connectKubeApi, type KubeApi, type KubeObject } from "./kube-api.ts";
import { FAILED, STATE, WANTED } from "./offer-cluster.ts";
import type { ClusterAddresses } from "./run-cluster.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** The folder of the cluster that this run offers; empty without binaries. */
    readonly clusterFolder: string;
  }
}

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

/** Whether there are binaries: with `describe.runIf`. The reporter says so when there are none. */
export function hasCluster(): boolean {
  return inject("clusterFolder") !== "";
}

/** The first call of a run starts the cluster, in some 12 s of an idle machine; later ones take well under a second. */
export async function startCluster(): Promise<Cluster> {
  return enterCluster(await sharedCluster(inject("clusterFolder")));
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

const LIMIT_MS = 300_000;
const POLL_MS = 50;

async function sharedCluster(folder: string): Promise<ClusterAddresses> {
  const file = (name: string): string => join(folder, name);
  if (!existsSync(file(WANTED))) writeFileSync(file(WANTED), "");
  const endMs = performance.now() + LIMIT_MS;
  while (performance.now() < endMs) {
    if (existsSync(file(FAILED)))
      throw new Error(`The test cluster did not start: ${readFileSync(file(FAILED), "utf8")}`);
    const text = existsSync(file(STATE)) ? readFileSync(file(STATE), "utf8") : "";
    if (text.endsWith("}")) return JSON.parse(text) as ClusterAddresses;
    await new Promise((done) => setTimeout(done, POLL_MS));
  }
  throw new Error(`The test cluster is not up after ${LIMIT_MS / 1_000} s`);
}
