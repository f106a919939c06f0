import { join } from "node:path";
import type { Clock } from "../../src/base/index.ts";
import { type CaClientOptions, createCaClient } from "../../src/identity/ca/ca-client.ts";
import { createCsr } from "../../src/identity/ca/csr.ts";
import { issueCertificate } from "../../src/identity/ca/issue.ts";
import { keySpec, startKeyGeneration } from "../../src/identity/prepare/index.ts";
import { PATHS } from "../../src/istio/index.ts";
import { type FakeCaOptions, startFakeCa } from "../support/fake-ca.ts";
import { createWorld } from "./world.ts";

/** Keys that are made at once. */
export const SPEC = keySpec({ rsaKeySize: 2048, eccAlgorithm: "ECDSA", eccCurve: "P256", isPkcs8: false });
export const never = new AbortController().signal;

/** A client and the fake CA that it asks; waits between attempts are noted and take no time. */
export async function startCaClient(
  caOptions: FakeCaOptions = {},
  options: Partial<CaClientOptions> = {},
  host = "localhost",
  provCert?: string,
) {
  const ca = await startFakeCa(caOptions);
  const world = await createWorld();
  await world.write(PATHS.controlPlaneRoot, ca.tlsRootPem);
  await world.write(PATHS.token, "first");
  const waits: number[] = [];
  const rig = { ca, world, waits, onWait: (): unknown => undefined };
  const clock: Clock = {
    now: () => Date.now(),
    async sleep(ms) {
      waits.push(ms);
      await rig.onWait();
    },
  };
  const folder = provCert === undefined ? undefined : join(world.cwd, provCert);
  const clientWith = (more: Partial<CaClientOptions>) =>
    createCaClient(
      {
        endpoint: `${host}:${ca.port}`,
        roots: { kind: "file", path: join(world.cwd, PATHS.controlPlaneRoot) },
        nameOverride: "",
        clientFiles:
          folder === undefined
            ? undefined
            : { certChain: join(folder, "cert-chain.pem"), key: join(folder, "key.pem") },
        compliance: "",
        tokens: world.tokens(),
        tokenFile: undefined,
        clusterId: "c",
        certSigner: "signer",
        headers: [],
        ttlSeconds: 60,
        ...options,
        ...more,
      },
      { log: world.log, metrics: world.metrics, clock },
    );
  const client = clientWith({});
  return Object.assign(rig, {
    client,
    clientWith,
    sign: async () => client.sign(await csr(), never),
    issue: () =>
      issueCertificate({ ca: client, keys: startKeyGeneration(SPEC), identity: "spiffe://a", now: Date.now }, never),
    async [Symbol.asyncDispose]() {
      await world[Symbol.asyncDispose]();
      await ca[Symbol.asyncDispose]();
    },
  });
}

export async function csr(): Promise<string> {
  return createCsr((await startKeyGeneration(SPEC).next()).key, "spiffe://td/ns/a/sa/b");
}
