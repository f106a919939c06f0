import { join } from "node:path";
import { isAbsent, readTextFile } from "../base/index.ts";
import { type KubeContext, type KubeHost, NOBODY } from "./kubeconfig.ts";

/** Where every pod has the credentials of its service account. Source: client-go rest/config.go (InClusterConfig). */
const FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount";

/** The cluster in which this process is a pod; undefined when it is not. */
export async function inClusterContext({ env }: KubeHost): Promise<KubeContext | undefined> {
  const { KUBERNETES_SERVICE_HOST: host = "", KUBERNETES_SERVICE_PORT: port = "" } = env;
  if (host === "" || port === "") return undefined;
  const namespace = await readOptional(join(FOLDER, "namespace"));
  if (namespace === undefined) return undefined;
  return {
    name: "in-cluster",
    server: {
      url: `https://${host.includes(":") ? `[${host}]` : host}:${port}`,
      ca: { path: join(FOLDER, "ca.crt") },
      serverName: undefined,
      isInsecure: false,
      proxyUrl: undefined,
      execConfig: undefined,
    },
    user: { ...NOBODY, name: "in-cluster", tokenFile: join(FOLDER, "token") },
    namespace: namespace.trim(),
    files: [],
  };
}

async function readOptional(path: string): Promise<string | undefined> {
  return readTextFile(path).catch((error: unknown) => {
    if (isAbsent(error)) return undefined;
    throw error;
  });
}
