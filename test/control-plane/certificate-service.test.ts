import { X509Certificate } from "node:crypto";
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeCsr, type Rig, startRig } from "./rig.ts";

let rig: Rig;
beforeAll(async () => {
  rig = await startRig({});
});
afterAll(() => rig[Symbol.asyncDispose]());

const token = async (ttlMs?: number) =>
  (await rig.controlPlane.mintToken({ namespace: "shop", serviceAccount: "web" }, ttlMs)).revealText();

test.each([["rsa:2048"], ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], ["ec", "-pkeyopt", "ec_paramgen_curve:P-384"]])(
  "a request with a key of %s is signed for the caller's own identity",
  async (...key) => {
    const chain = await rig.sign(makeCsr(...key), await token());
    expect(chain).toHaveLength(2);
    expect(chain[1]).toBe(rig.controlPlane.rootPem);
    const leaf = new X509Certificate(chain[0] ?? "");
    expect(leaf.subjectAltName).toBe("URI:spiffe://cluster.local/ns/shop/sa/web");
    expect(leaf.subject ?? "").toBe("");
    expect(leaf.ca).toBe(false);
    expect(leaf.verify(new X509Certificate(rig.controlPlane.rootPem).publicKey)).toBe(true);
    expect(Date.parse(leaf.validFrom)).toBeLessThanOrEqual(Date.now() - 119_000);
  },
);

test("the lifetime is the one asked for; none means a day", async () => {
  const csr = makeCsr("ec", "-pkeyopt", "ec_paramgen_curve:P-256");
  const lifetime = async (ttl: number) => {
    const [leaf = ""] = await rig.sign(csr, await token(), ttl);
    return (Date.parse(new X509Certificate(leaf).validTo) - Date.now()) / 1_000;
  };
  expect(await lifetime(600)).toBeCloseTo(600, -1);
  expect(await lifetime(0)).toBeCloseTo(86_400, -1);
});

test.each<[string, () => Promise<readonly string[]>, number, string]>([
  ["no token", () => rig.sign(makeCsr("rsa:2048"), undefined), status.UNAUTHENTICATED, "request authenticate failure"],
  [
    "a foreign token",
    () => rig.sign(makeCsr("rsa:2048"), "a.b.c"),
    status.UNAUTHENTICATED,
    "request authenticate failure",
  ],
  ["an expired token", async () => rig.sign(makeCsr("rsa:2048"), await token(-10_000)), status.UNAUTHENTICATED, "exp"],
  ["no request", async () => rig.sign("nonsense", await token()), status.INVALID_ARGUMENT, "CSR signing error"],
  [
    "a lifetime of a year",
    async () => rig.sign(makeCsr("rsa:2048"), await token(), 365 * 86_400),
    status.INVALID_ARGUMENT,
    "greater than the max allowed TTL",
  ],
])("%s is refused", async (_name, sign, code, details) => {
  await expect(sign()).rejects.toMatchObject({ code, details: expect.stringContaining(details) });
});
