import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { xdsIdentity } from "../../src/identity/index.ts";
import type { ConnectionPlan } from "../../src/identity/prepare/plan.ts";
import { PATHS } from "../../src/istio/index.ts";
import { createTestCa, type TestCa } from "../support/test-ca.ts";
import { createWorld, type World } from "./world.ts";

let ca: TestCa;
beforeAll(async () => {
  ca = await createTestCa();
});

test("roots and client certificate are those on disk now, the name follows the rules", async () => {
  await using world = await createWorld();
  await world.write("root", ca.certPem);
  await using identity = await start(world, { endpoint: "localhost:15012" });
  expect(await identity.tls()).toMatchObject({ serverName: "istiod.istio-system.svc", roots: Buffer.from(ca.certPem) });
  const { certPem, keyPem } = await ca.issue({ dns: ["a"] });
  await world.write("cert", certPem);
  await world.write("key", keyPem);
  const next = (await createTestCa("next")).certPem;
  await world.write("root", next);
  const tls = await identity.tls();
  if (tls === "plaintext") throw new Error("no TLS");
  expect(tls.roots.toString()).toBe(next);
  expect(tls.clientCertificate?.certChain.toString()).toBe(certPem);
  expect(tls.clientCertificate?.key.revealText()).toBe(keyPem);
  await expect.poll(() => world.lines.join("")).toContain("root certificate of the control plane changed");
});

test("a root file without certificates rejects with its path", async () => {
  await using world = await createWorld();
  await world.write("root", "");
  await using identity = await start(world, {});
  await expect(identity.tls()).rejects.toMatchObject({ code: "ROOT_CA_UNUSABLE" });
  await world.write("root", ca.certPem);
  await identity.tls();
});

test("the token is fetched anew, and a missing one leaves the header out", async () => {
  await using world = await createWorld();
  await world.write("root", ca.certPem);
  await using identity = await start(world, {});
  expect(await identity.metadata()).toEqual([]);
  await world.write(PATHS.token, "one");
  expect(await identity.metadata()).toEqual([["authorization", "Bearer one"]]);
  await world.write(PATHS.token, "two");
  expect(await identity.metadata()).toEqual([["authorization", "Bearer two"]]);
});

test("without TLS the token goes to port 15010 only", async () => {
  await using world = await createWorld();
  await world.write(PATHS.token, "one");
  await using debug = await start(world, { endpoint: "istiod:15010", isPlaintext: true });
  expect(await debug.tls()).toBe("plaintext");
  expect(await debug.metadata()).toHaveLength(1);
  await using other = await start(world, { endpoint: "istiod:15012", isPlaintext: true });
  expect(await other.metadata()).toEqual([]);
});

test("reality 17: a token that is withheld is told once, and so is one that goes unencrypted", async () => {
  await using world = await createWorld();
  await using sent = await start(world, { endpoint: "istiod:15010", isPlaintext: true });
  const refused = { code: 16, reason: "authentication failure" };
  expect(await sent.explain(refused)).toBeUndefined();
  const inClear = expect.stringMatching(/warn\txdsproxy\t.* the token goes unencrypted\t.*istiod:15010/);
  expect(world.lines).toEqual([inClear]);
  await using other = await start(world, { endpoint: "istiod:15011", isPlaintext: true });
  await other.metadata();
  await other.metadata();
  expect(world.lines).toEqual([
    inClear,
    expect.stringMatching(
      /warn\txdsproxy\tthe token is not sent: controlPlaneAuthPolicy NONE .* 15010\t.*istiod:15011/,
    ),
  ]);
  expect(await other.explain(refused)).toContain("the token is not sent");
  expect(await other.explain({ ...refused, code: 14 })).toBeUndefined();
});

test("compliance limits versions and ciphers", async () => {
  await using world = await createWorld();
  await world.write("root", ca.certPem);
  const limits = async (compliance: string) => {
    await using identity = await start(world, {}, compliance);
    const tls = await identity.tls();
    return tls === "plaintext" ? undefined : tls.limits;
  };
  expect(await limits("")).toEqual({ minVersion: "TLSv1.2" });
  expect(await limits("fips-140-2")).toMatchObject({ maxVersion: "TLSv1.2", ecdhCurve: "P-256" });
  expect(await limits("fips-140-3")).toMatchObject({ minVersion: "TLSv1.2", ecdhCurve: "P-256:P-384" });
  expect(await limits("pqc")).toMatchObject({ minVersion: "TLSv1.3", ecdhCurve: "X25519MLKEM768" });
});

async function start(world: World, plan: Partial<ConnectionPlan>, compliance = "") {
  return xdsIdentity({
    plan: {
      endpoint: "istiod:15012",
      isPlaintext: false,
      roots: { kind: "file", path: join(world.cwd, "root") },
      nameOverride: "",
      clientFiles: { certChain: join(world.cwd, "cert"), key: join(world.cwd, "key") },
      ...plan,
    },
    compliance,
    tokens: world.tokens(),
    asked: { namespace: "default", serviceAccount: "web", clusterId: "" },
    tokenFile: join(world.cwd, PATHS.token),
    log: world.log,
  });
}
