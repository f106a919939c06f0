import { X509Certificate } from "node:crypto";
import { expect, test } from "vitest";
import { createCsr } from "../../src/identity/ca/csr.ts";
import { issueCertificate } from "../../src/identity/ca/issue.ts";
import { startKeyGeneration } from "../../src/identity/prepare/index.ts";
import { PATHS } from "../../src/istio/index.ts";
import { createSigner, startFakeCa } from "../support/fake-ca.ts";
import { never, SPEC, startCaClient } from "./ca-rig.ts";
import { createWorld } from "./world.ts";

test("the workload's certificate and roots come from the CA, with one request for both", async () => {
  await using ca = await startFakeCa();
  await using world = await createWorld();
  await world.write(PATHS.controlPlaneRoot, ca.tlsRootPem);
  await world.write(PATHS.token, "a.token\n");
  const secrets = await world.secrets(`localhost:${ca.port}`);
  const [certificate, roots] = await Promise.all([secrets.get("default"), secrets.get("ROOTCA")]);
  expect(ca.requests).toHaveLength(1);
  expect(ca.requests[0]?.metadata.getMap()).toMatchObject({ authorization: "Bearer a.token", clusterid: "Kubernetes" });
  expect(ca.requests[0]?.message).toMatchObject({ validityDuration: 86_400n, metadata: { CertSigner: "" } });
  if (certificate.kind !== "certificate" || roots.kind !== "roots") throw new Error("wrong kinds");
  expect(new X509Certificate(certificate.certChain).subjectAltName).toBe("URI:spiffe://td/ns/ns/sa/sa");
  expect(roots.roots.toString()).toBe(ca.signer.rootPem.trim());
});

test.each([
  ["of another key", { kind: "sign", foreignKey: true }, /belongs to another key/],
  [
    "that has ended",
    { kind: "sign", notBefore: new Date(Date.now() - 7_200_000), lifeMs: -3_600_000 },
    /it ended at .*, our clock says/,
  ],
  [
    "that is none",
    { kind: "answer", chain: ["leaf?", "root?"] },
    /failed to extract expire time from server certificate/,
  ],
] as const)("a certificate %s is refused", async (_case, behaviour, message) => {
  await using rig = await startCaClient();
  rig.ca.behaviour = behaviour;
  await expect(rig.issue()).rejects.toThrow(message);
  await expect(rig.issue()).rejects.toMatchObject({ code: "CA_ANSWER_INVALID" });
});

test("a chain of leaf, intermediate and root is kept whole, the root is its last element", async () => {
  await using rig = await startCaClient();
  const keys = await startKeyGeneration(SPEC).next();
  const [signer, other] = [await createSigner("intermediate"), await createSigner("root")];
  const leaf = await signer.sign(createCsr(keys.key, "spiffe://td/ns/a/sa/b"));
  rig.ca.behaviour = { kind: "answer", chain: [leaf.trimEnd(), signer.rootPem, other.rootPem] };
  const issued = await issueCertificate(
    {
      ca: rig.client,
      keys: { next: async () => keys, async [Symbol.asyncDispose]() {} },
      identity: "spiffe://td/ns/a/sa/b",
      now: Date.now,
    },
    never,
  );
  expect(issued.root).toBe(other.rootPem);
  expect(issued.certChain).toBe(`${leaf.trimEnd()}\n${signer.rootPem.trimEnd()}\n${other.rootPem}`);
});
