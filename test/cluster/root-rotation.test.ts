import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseCertificates, writeFileAtomically } from "../../src/base/index.ts";
import { PATHS } from "../../src/istio/index.ts";
import { describeLoad } from "../support/load.ts";
import { runtimes } from "../support/pilotboat.ts";
import { createTestCa, type TestCa } from "../support/test-ca.ts";
import type { MeshProxy } from "./mesh-proxy.ts";
import { type OwnCluster, startOwnCluster } from "./own-cluster.ts";
import { type Cluster, hasCluster } from "./start-cluster.ts";
import { envoyPid, startWebAndClient, type WebAndClient } from "./web-and-client.ts";

// The mesh goes from root A to root B as Istio's documents say: first everybody trusts both, then B signs, then A is dropped.
// istiod takes over new roots when it is restarted, and a new intermediate of the same roots by itself.

describe.runIf(hasCluster())("a new root for the mesh", { timeout: 300_000 }, () => {
  let own: OwnCluster;
  beforeAll(async () => {
    own = await startOwnCluster();
  }, 300_000);
  afterAll(() => own?.[Symbol.asyncDispose]());

  test.each(runtimes())("costs no request and no Envoy, and is told once, on $name", async (runtime) => {
    const [a, b] = [await createSigner("A"), await createSigner("B")];
    await own.istiod.kill();
    await writeCacerts(own, a, [a]);
    await own.istiod.start();
    await using cluster = await own.enter();
    // the next certificate, and with it the roots, is requested after a tenth of the life
    const env = { SECRET_TTL: "30s", SECRET_GRACE_PERIOD_RATIO: "0.9", SECRET_GRACE_PERIOD_RATIO_JITTER: "0" };
    await using mesh = await startWebAndClient(runtime, cluster, { env });
    await expectTrust(mesh, a, [a]);
    const pids = await Promise.all(mesh.both.map(envoyPid));
    await using load = mesh.startLoad();
    await load.moreAnswers(SOME);

    await writeCacerts(own, a, [a, b]);
    await own.istiod.kill();
    await own.istiod.start();
    await mountRoots(cluster, mesh, [a, b]);
    await expectTrust(mesh, a, [a, b]);
    await load.moreAnswers(SOME);

    await writeCacerts(own, b, [a, b]);
    await expectTrust(mesh, b, [a, b]);
    await load.moreAnswers(SOME);

    await writeCacerts(own, b, [b]);
    await own.istiod.kill();
    await own.istiod.start();
    await mountRoots(cluster, mesh, [b]);
    await expectTrust(mesh, b, [b]);
    await load.moreAnswers(SOME);

    const tally = await load.finish();
    console.log(`${runtime.name}, root replaced: ${describeLoad(tally)}`);
    expect(tally.failures).toEqual([]);
    expect(await Promise.all(mesh.both.map(envoyPid))).toEqual(pids);
    for (const proxy of mesh.both) {
      await expect.poll(() => proxy.readyStatus()).toBe(200);
      expect(await proxy.rejectedUpdates()).toBe(0);
      expect((await proxy.report()).identity?.troubles).toEqual([]);
      expect(told(proxy, /Root cert has changed/)).toHaveLength(3); // the first one, both, the second one
      expect(told(proxy, /root certificate of the control plane changed/)).toHaveLength(2);
    }
  });
});

/** Answers between two steps; some 300 come in a second of a busy machine. */
const SOME = 300;
/** Until Envoy has what follows from a step: a restart of istiod, a ConfigMap, and a certificate. */
const LIMIT = { timeout: 60_000 };

interface Signer {
  readonly root: TestCa;
  /** What istiod signs with. */
  readonly intermediate: { readonly certPem: string; readonly keyPem: string };
  readonly name: string;
}

async function createSigner(name: string): Promise<Signer> {
  const root = await createTestCa(`root ${name}`);
  return { root, name, intermediate: await root.issue({ subject: `CN=intermediate ${name}`, isCa: true }) };
}

function bundle(signers: readonly Signer[]): string {
  return signers.map(({ root }) => `${root.certPem.trim()}\n`).join("");
}

/** As a kubelet updates the mounted Secret. */
async function writeCacerts({ istiod }: OwnCluster, { intermediate }: Signer, roots: readonly Signer[]): Promise<void> {
  const files = {
    "ca-key.pem": intermediate.keyPem,
    "ca-cert.pem": intermediate.certPem,
    "cert-chain.pem": intermediate.certPem,
    "root-cert.pem": bundle(roots),
  };
  for (const [name, text] of Object.entries(files)) await writeFileAtomically(join(istiod.cacertsFolder, name), text);
}

/** As a kubelet updates the mounted ConfigMap, once istiod has written it. */
async function mountRoots(cluster: Cluster, { both }: WebAndClient, roots: readonly Signer[]): Promise<void> {
  const path = `/api/v1/namespaces/${cluster.namespace}/configmaps/istio-ca-root-cert`;
  const has = (text: unknown): boolean => fingerprints(String(text)).join() === fingerprints(bundle(roots)).join();
  const { data } = await cluster.api.until(path, (map) => has(map.data["root-cert.pem"]));
  for (const { folder } of both)
    await writeFileAtomically(join(folder, PATHS.controlPlaneRoot), String(data["root-cert.pem"]));
}

/** Both sidecars have a certificate of the signer and trust the roots, no less and no more. */
async function expectTrust({ both }: WebAndClient, signer: Signer, roots: readonly Signer[]): Promise<void> {
  for (const proxy of both) {
    await expect.poll(async () => fingerprints(await servedRoots(proxy)), LIMIT).toEqual(fingerprints(bundle(roots)));
    await expect
      .poll(async () => (await proxy.report()).identity?.certificate?.issuer, LIMIT)
      .toBe(`CN=intermediate ${signer.name}`);
  }
}

/** The roots by which Envoy verifies its peers, in PEM. */
async function servedRoots({ adminPort }: MeshProxy): Promise<string> {
  const url = `http://127.0.0.1:${adminPort}/config_dump?resource=dynamic_active_secrets`;
  const { configs = [] } = (await (await fetch(url)).json()) as { configs?: readonly DumpedSecret[] };
  const found = configs.find(({ name }) => name === "ROOTCA")?.secret.validation_context?.trusted_ca.inline_bytes;
  return Buffer.from(found ?? "", "base64").toString("utf8");
}

interface DumpedSecret {
  readonly name: string;
  readonly secret: { readonly validation_context?: { readonly trusted_ca: { readonly inline_bytes: string } } };
}

function fingerprints(pem: string): string[] {
  return parseCertificates(pem)
    .map(({ fingerprint256 }) => fingerprint256)
    .sort();
}

function told({ command }: MeshProxy, what: RegExp): string[] {
  return command
    .stdout()
    .split("\n")
    .filter((line) => what.test(line));
}
