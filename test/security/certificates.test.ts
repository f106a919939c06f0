import { X509Certificate } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { issueCertificate } from "../../src/identity/ca/issue.ts";
import { startKeyGeneration } from "../../src/identity/prepare/index.ts";
import { never, SPEC, startCaClient } from "../identity/ca-rig.ts";
import { startFakeCa } from "../support/fake-ca.ts";
import { startFakeIstiod } from "../support/fake-istiod.ts";
import { run, runtimes } from "../support/pilotboat.ts";
import { createSandbox } from "../support/sandbox.ts";
import { createTestCa } from "../support/test-ca.ts";

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const OURS = "spiffe://td/ns/shop/sa/cart";

async function issue(rig: Awaited<ReturnType<typeof startCaClient>>, identity = OURS, isAnyIdentityTaken = false) {
  const parts = { ca: rig.client, keys: startKeyGeneration(SPEC), identity, isAnyIdentityTaken, now: Date.now };
  return issueCertificate(parts, never);
}

const later = (ms: number): Date => new Date(Date.now() + ms);

test.each([
  ["that begins in ten minutes", { notBefore: later(10 * MINUTE) }, /it begins at .*, our clock says/],
  ["that begins next year", { notBefore: later(365 * DAY) }, /it begins at .*, our clock says/],
  ["that ended a second ago", { notBefore: later(-DAY), lifeMs: -1_000 }, /it ended at .*, our clock says/],
  ["for eighty centuries less a year", { lifeMs: 7_900 * 365 * DAY }, /it is for \d{7} days, until 9\d\d\d-/],
  ["for eleven years", { lifeMs: 11 * 366 * DAY }, /wanted at most 3660 days/],
])("hostile 14: a certificate %s is refused", async (_which, behaviour, message) => {
  await using rig = await startCaClient();
  rig.ca.behaviour = { kind: "sign", ...behaviour };
  await expect(issue(rig)).rejects.toThrow(message);
  await expect(issue(rig)).rejects.toMatchObject({ code: "CA_ANSWER_INVALID" });
});

test.each([
  ["of another trust domain", "spiffe://other/ns/shop/sa/cart"],
  ["of another namespace", "spiffe://td/ns/bank/sa/cart"],
  ["of another account", "spiffe://td/ns/shop/sa/admin"],
  ["that only begins with ours", `${OURS}-admin`],
  ["that is ours in other letters", OURS.toUpperCase()],
  ["with more behind it", `${OURS}, URI:spiffe://td/ns/bank/sa/admin`],
  ["with a line end", `${OURS}\n`],
  ["that is a web address", "https://td/ns/shop/sa/cart"],
])("hostile 14: a certificate for an identity %s is refused, unless a setting takes any", async (_which, uri) => {
  await using rig = await startCaClient();
  rig.ca.behaviour = { kind: "sign", uri };
  await expect(issue(rig)).rejects.toMatchObject({
    code: "CA_ANSWER_INVALID",
    message: expect.stringMatching(/it is for another identity, .*; we asked for "spiffe:\/\/td\/ns\/shop\/sa\/cart"/s),
    hint: expect.stringContaining("PILOTBOAT_ANY_IDENTITY"),
  });
  expect((await issue(rig, OURS, true)).leaf.subjectAltName).toContain("URI:");
});

test("hostile 14: ours is taken, a little early or late as clocks are, and for ten years if the CA wants that", async () => {
  await using rig = await startCaClient();
  for (const behaviour of [{}, { notBefore: later(4 * MINUTE) }, { lifeMs: 3_650 * DAY }]) {
    rig.ca.behaviour = { kind: "sign", ...behaviour };
    expect((await issue(rig)).leaf.subjectAltName).toBe(`URI:${OURS}`);
  }
});

test("hostile 14: an @ of the trust domain is a dot in the certificate, as istiod writes it", async () => {
  await using rig = await startCaClient();
  rig.ca.behaviour = { kind: "sign", uri: "spiffe://project.example.com/ns/shop/sa/cart" };
  const issued = await issue(rig, "spiffe://project@example.com/ns/shop/sa/cart");
  expect(new X509Certificate(issued.certChain).subjectAltName).toContain("project.example.com");
});

const FAKE_ENVOY = resolve("test/fixtures/fake-envoy");

describe.each(runtimes())("$name", (runtime) => {
  test("hostile 14: a foreign identity is not served, and why stands in log and status", async () => {
    const tlsCa = await createTestCa();
    const dns = ["istiod.istio-system.svc", "localhost"];
    await using ca = await startFakeCa({ tlsCa, dns });
    ca.behaviour = { kind: "sign", uri: "spiffe://cluster.local/ns/kube-system/sa/root" };
    await using istiod = await startFakeIstiod({ tls: await tlsCa.issue({ dns }) });
    await using sandbox = await createSandbox(runtime);
    await write(join(sandbox.folder, "var/run/secrets/istio/root-cert.pem"), ca.tlsRootPem);
    await write(join(sandbox.folder, "var/run/secrets/tokens/istio-token"), "a.token");
    const words = {
      proxyConfig: { binaryPath: FAKE_ENVOY, discoveryAddress: `localhost:${istiod.port}` },
      env: { CA_ADDR: `localhost:${ca.port}`, OUTPUT_CERTS: "out" },
    };
    {
      await using agent = await sandbox.startProxy(words);
      await agent.waitFor(/failed to sign CSR[^\n]*it is for another identity/);
      const { stdout } = await run(runtime, ["status", sandbox.folder]);
      expect(stdout).toMatch(/certificate +none yet/);
      expect(stdout).toMatch(/trouble .*for another identity, "spiffe:\/\/cluster.local\/ns\/kube-system\/sa\/root"/);
      agent.kill("SIGTERM");
      await agent.ended;
    }
    await using agent = await sandbox.startProxy({ ...words, env: { ...words.env, PILOTBOAT_ANY_IDENTITY: "true" } });
    await agent.waitFor(/the CA issued another identity than requested/);
    const { stdout } = await run(runtime, ["status", sandbox.folder]);
    expect(stdout).toMatch(/certificate +spiffe:\/\/cluster.local\/ns\/kube-system\/sa\/root/);
  });
});

async function write(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
}
