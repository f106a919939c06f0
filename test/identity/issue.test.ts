import { X509Certificate } from "node:crypto";
import { expect, test } from "vitest";
import { WELL_KNOWN } from "../../src/identity/index.ts";
import { startFakeCa } from "../support/fake-ca.ts";
import { createWorld } from "./world.ts";

test("the workload's certificate and roots come from the CA, with one request for both", async () => {
  await using ca = await startFakeCa();
  await using world = await createWorld();
  await world.write(WELL_KNOWN.controlPlaneRoot, ca.tlsRootPem);
  await world.write(WELL_KNOWN.token, "a.token\n");
  const secrets = await world.secrets(`localhost:${ca.port}`);
  const [certificate, roots] = await Promise.all([secrets.get("default"), secrets.get("ROOTCA")]);
  expect(ca.requests).toHaveLength(1);
  expect(ca.requests[0]?.metadata.getMap()).toMatchObject({ authorization: "Bearer a.token", clusterid: "Kubernetes" });
  expect(ca.requests[0]?.message).toMatchObject({ validityDuration: 86_400n, metadata: { CertSigner: "" } });
  if (certificate.kind !== "certificate" || roots.kind !== "roots") throw new Error("wrong kinds");
  expect(new X509Certificate(certificate.certChain).subjectAltName).toBe("URI:spiffe://td/ns/ns/sa/sa");
  expect(roots.roots.toString()).toBe(ca.signer.rootPem.trim());
});
