import { generateKeyPairSync } from "node:crypto";
import { mkdirSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { Lifetime } from "../../src/base/index.ts";
import { freePorts } from "../support/ports.ts";
import { createTestCa } from "../support/test-ca.ts";
import { CLUSTER_FILES } from "./binaries.ts";
import { connectKubeApi, type KubeAccess, type KubeApi, type KubeObject } from "./kube-api.ts";
import { type Istiod, type IstiodOptions, startIstiod } from "./run-istiod.ts";
import { type ProgramPlace, startProgram, waitFor } from "./run-program.ts";

/** What a test has to know of a cluster that runs. */
export interface ClusterAddresses {
  readonly access: KubeAccess;
  /** `host:port` of istiod's CA and xDS, over TLS. */
  readonly discoveryAddress: string;
  /** `http://host:port` of istiod's debug endpoints. */
  readonly istiodDebug: string;
  /** An administrator's, for programs that want one. */
  readonly kubeconfig: string;
  /** File of the key that signs tokens of service accounts, for those that the API server would not issue. */
  readonly accountsKey: string;
}

export interface RunningCluster extends AsyncDisposable {
  readonly addresses: ClusterAddresses;
  readonly istiod: Istiod;
}

/**
 * Starts etcd, kube-apiserver, a node and istiod on free ports of 127.0.0.1, with what they write and log in `folder`.
 * Disposing ends them by pid; should this process be killed, its guardian does.
 */
export async function runCluster(bin: string, folder: string, options: IstiodOptions = {}): Promise<RunningCluster> {
  const life = new Lifetime();
  try {
    return {
      ...(await assemble({ bin, folder, life }, options)),
      [Symbol.asyncDispose]: () => life[Symbol.asyncDispose](),
    };
  } catch (error) {
    await life[Symbol.asyncDispose]();
    throw error;
  }
}

async function assemble(
  parts: ProgramPlace,
  options: IstiodOptions,
): Promise<Omit<RunningCluster, keyof AsyncDisposable>> {
  const { folder, life } = parts;
  for (const name of ["pki", "log", "istiod"]) mkdirSync(join(folder, name), { recursive: true });
  const ports = await choosePorts();
  const access = await writeKeys(folder, ports.api);
  const kubeconfig = join(folder, "kubeconfig");
  await writeFile(kubeconfig, kubeconfigOf(access), { mode: 0o600 });
  const api = connectKubeApi(access);
  life.defer("api client", async () => api.close());
  await startKubernetes(parts, ports, api);
  const istiod = await startIstiod(parts, ports, api, options);
  const addresses = {
    access,
    kubeconfig,
    accountsKey: join(folder, "pki", "accounts.key"),
    discoveryAddress: `localhost:${ports.xds}`,
    istiodDebug: `http://127.0.0.1:${ports.debug}`,
  };
  return { addresses, istiod };
}

type Ports = Awaited<ReturnType<typeof choosePorts>>;

async function choosePorts() {
  const ports = await freePorts(10);
  const [etcd = 0, peer = 0, api = 0, node = 0, plain = 0, xds = 0, debug = 0, webhook = 0, metrics = 0, ctrlz = 0] =
    ports;
  return { etcd, peer, api, node, plain, xds, debug, webhook, metrics, ctrlz };
}

/** `pki/ca.crt` and pairs for the API server, an administrator, the node, and the signer of service account tokens. */
async function writeKeys(folder: string, port: number): Promise<KubeAccess> {
  const ca = await createTestCa("cluster");
  const dns = ["localhost", "kubernetes.default.svc"];
  const [server, admin, node] = await Promise.all([
    ca.issue({ dns, ips: ["127.0.0.1"] }),
    ca.issue({ subject: "CN=admin, O=system:masters" }),
    ca.issue({ subject: "CN=system:node:laptop, O=system:nodes", ips: ["127.0.0.1"] }),
  ]);
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const files = {
    "ca.crt": ca.certPem,
    "apiserver.crt": server.certPem,
    "apiserver.key": server.keyPem,
    "admin.crt": admin.certPem,
    "admin.key": admin.keyPem,
    "node.crt": node.certPem,
    "node.key": node.keyPem,
    "accounts.key": privateKey.export({ type: "sec1", format: "pem" }),
  };
  await Promise.all(
    Object.entries(files).map(([name, text]) => writeFile(join(folder, "pki", name), text, { mode: 0o600 })),
  );
  return { url: `https://127.0.0.1:${port}`, ca: ca.certPem, certificate: admin.certPem, key: admin.keyPem };
}

function kubeconfigOf({ url, ca, certificate, key }: KubeAccess): string {
  const base64 = (text: string): string => Buffer.from(text).toString("base64");
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    "current-context": "test",
    contexts: [{ name: "test", context: { cluster: "test", user: "admin" } }],
    clusters: [{ name: "test", cluster: { server: url, "certificate-authority-data": base64(ca) } }],
    users: [
      { name: "admin", user: { "client-certificate-data": base64(certificate), "client-key-data": base64(key) } },
    ],
  });
}

async function startKubernetes(parts: ProgramPlace, ports: Ports, api: KubeApi): Promise<void> {
  const { bin, folder } = parts;
  const etcd = `http://127.0.0.1:${ports.etcd}`;
  const peer = `http://127.0.0.1:${ports.peer}`;
  startProgram(parts, "etcd", [
    ...["--data-dir", join(folder, "etcd"), "--unsafe-no-fsync", "--log-level", "warn"],
    ...["--initial-cluster", `default=${peer}`, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer],
    ...["--listen-client-urls", etcd, "--advertise-client-urls", etcd],
  ]);
  const pki = (name: string): string => join(folder, "pki", name);
  const server = startProgram(parts, "apiserver", [
    ...[`--etcd-servers=${etcd}`, "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"],
    ...[`--secure-port=${ports.api}`, "--service-cluster-ip-range=10.96.0.0/16"],
    ...["--anonymous-auth=false", "--authorization-mode=Node,RBAC", `--client-ca-file=${pki("ca.crt")}`],
    ...[`--tls-cert-file=${pki("apiserver.crt")}`, `--tls-private-key-file=${pki("apiserver.key")}`],
    "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
    ...["key", "signing-key"].map((use) => `--service-account-${use}-file=${pki("accounts.key")}`),
    ...["--kubelet-preferred-address-types=InternalIP", `--kubelet-certificate-authority=${pki("ca.crt")}`],
    ...[`--kubelet-client-certificate=${pki("admin.crt")}`, `--kubelet-client-key=${pki("admin.key")}`],
  ]);
  await waitFor(server, async () => void (await api.get("/readyz")));
  startProgram(parts, "node", [
    ...["--kubeconfig", join(folder, "kubeconfig"), "--etcd", etcd, "--port", String(ports.node)],
    ...["--root-ca", pki("ca.crt"), "--client-ca", pki("ca.crt"), "--logs", join(folder, "log")],
    ...["--cert", pki("node.crt"), "--key", pki("node.key")],
  ]);
  const documents = parseAllDocuments(await readFile(join(bin, CLUSTER_FILES.crds), "utf8"));
  const crds = documents.map((document) => document.toJS() as KubeObject | null).filter((one) => one !== null);
  await Promise.all(crds.map((crd) => api.apply(crd)));
  await Promise.all(crds.map(({ metadata }) => api.until(`${CRDS}/${metadata.name}`, isEstablished)));
}

const CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

function isEstablished({ status }: KubeObject): boolean {
  const conditions = (status?.conditions ?? []) as readonly { type: string; status: string }[];
  return conditions.some(({ type, status: value }) => type === "Established" && value === "True");
}
