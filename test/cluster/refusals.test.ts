import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { writeFileAtomically } from "../../src/base/index.ts";
import { PATHS } from "../../src/istio/index.ts";
import { run, runtimes } from "../support/pilotboat.ts";
import { createTestCa } from "../support/test-ca.ts";
import { type AgentOptions, startAgent } from "./mesh-proxy.ts";
import { signedToken } from "./signed-token.ts";
import { type Cluster, hasCluster, startCluster } from "./start-cluster.ts";

// istiod says only that it refuses; the log, readiness and status say what is different from what was asked for.

interface Refusal {
  /** Default: the account "web" of the test's namespace, for istiod. */
  readonly token?: (cluster: Cluster) => Promise<string>;
  readonly root?: () => Promise<string>;
  readonly env?: Readonly<Record<string, string>>;
  /** In the three of them. */
  readonly reason: (cluster: Cluster) => RegExp;
}

const REFUSALS: Readonly<Record<string, Refusal>> = {
  "an audience that istiod does not take": {
    token: (cluster) => cluster.token("web", { audience: "vault" }),
    reason: () =>
      /UNAUTHENTICATED: authentication failure; the token is for audience "vault", and istiod wants "istio-ca"/,
  },
  "a token of another account": {
    token: (cluster) => cluster.token("other"),
    reason: ({ namespace }) =>
      new RegExp(`PERMISSION_DENIED: .*the service account "${namespace}/other", but SERVICE_ACCOUNT is "web"`),
  },
  "a token of another namespace": {
    token: (cluster) => cluster.token("default", { namespace: "default" }),
    reason: ({ namespace }) =>
      new RegExp(
        `PERMISSION_DENIED: .*"default/default", but POD_NAMESPACE is "${namespace}" and SERVICE_ACCOUNT is "web"`,
      ),
  },
  "a token that is over": {
    token: (cluster) => signedToken(cluster, "web", { iat: 1_700_000_000, nbf: 1_700_000_000, exp: 1_700_003_600 }),
    reason: () => /UNAUTHENTICATED: .*; the token expired at 2023-11-14T23:13:20Z and was not replaced/,
  },
  "a token of another issuer": {
    token: (cluster) => signedToken(cluster, "web", { iss: "https://other.example.com" }),
    reason: () => /UNAUTHENTICATED: .*from issuer "https:\/\/other\.example\.com"\) must be valid to the API server of/,
  },
  "a cluster that istiod does not know": {
    env: { ISTIO_META_CLUSTER_ID: "nowhere" },
    reason: () => /UNAUTHENTICATED: .*cluster "nowhere" \(ISTIO_META_CLUSTER_ID\), and istiod must know that cluster/,
  },
  "another trust domain": {
    env: { TRUST_DOMAIN: "other.example" },
    reason: () =>
      /it is for another identity, .*; we asked for "spiffe:\/\/other\.example\/.* \(look at TRUST_DOMAIN\)/,
  },
  "a root that did not sign istiod's certificate": {
    root: async () => (await createTestCa("O=somebody else")).certPem,
    reason: () =>
      /UNAVAILABLE: .*is signed by "O=cluster\.local".*, and ".*root-cert\.pem" holds the root ".*somebody else" \(SHA-256 [0-9A-F:]{23}…\)/,
  },
};

describe.runIf(hasCluster()).each(runtimes())("with a real istiod, on $name", { timeout: 90_000 }, (runtime) => {
  let cluster: Cluster;
  let folder: string;
  beforeAll(async () => {
    cluster = await startCluster();
    folder = await mkdtemp(join(tmpdir(), "pb-refused-"));
    for (const name of ["web", "other"])
      await cluster.apply({ apiVersion: "v1", kind: "ServiceAccount", metadata: { name } });
  }, 300_000);
  afterAll(async () => {
    await cluster?.[Symbol.asyncDispose]();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  test.each(Object.keys(REFUSALS))("%s is named in log, readiness and status", async (name) => {
    const { token, root, env = {}, reason } = REFUSALS[name] as Refusal;
    const run = await mkdtemp(join(folder, "run-"));
    await cluster.writeCredentials(run, "web");
    if (token !== undefined) await writeFileAtomically(join(run, PATHS.token), await token(cluster));
    if (root !== undefined) await writeFileAtomically(join(run, PATHS.controlPlaneRoot), await root());
    await using proxy = await startAgent(runtime, cluster, options(cluster, run, env));
    await expect.poll(() => proxy.readyText()).toMatch(reason(cluster));
    expect(await proxy.readyStatus()).toBe(503);
    const status = await shownStatus(run);
    expect(status).toMatch(reason(cluster));
    const text = proxy.command.stdout();
    const known = reason(cluster).source.replace(/^(UNAUTHENTICATED|PERMISSION_DENIED|UNAVAILABLE): /, "");
    expect(status.split("\n").filter((line) => new RegExp(known).test(line))).toHaveLength(1);
    expect(text).toMatch(new RegExp(known));
    const lines = text.split("\n").filter((line) => /\t(warn|error)\t(xdsproxy|ca|cache)\t/.test(line));
    const told = lines.filter((line) => new RegExp(known).test(line)).map((line) => line.split("\t")[2]);
    expect(told).toEqual([...new Set(told)]); // the relay and the CA client may each meet it, once
  });

  const shownStatus = async (path: string) => (await run(runtime, ["status", path, "--config-path", "proxy"])).stdout;
});

function options(cluster: Cluster, folder: string, env: Readonly<Record<string, string>>): AgentOptions {
  const workload = {
    POD_NAME: "web",
    POD_NAMESPACE: cluster.namespace,
    SERVICE_ACCOUNT: "web",
    INSTANCE_IP: "127.0.0.1",
  };
  return { folder, args: ["sidecar"], env: { ...workload, ISTIO_META_CLUSTER_ID: "Kubernetes", ...env } };
}
