import { execFile, execFileSync } from "node:child_process";
import { createPrivateKey } from "node:crypto";
import { expect, test } from "vitest";
import { createCsr, spiffeId } from "../../src/identity/ca/csr.ts";
import { type KeySettings, keySpec, startKeyGeneration } from "../../src/identity/prepare/index.ts";

const DEFAULTS: KeySettings = { rsaKeySize: 2048, eccAlgorithm: "", eccCurve: "P256", isPkcs8: false };

test.each([
  ["RSA by default", {}, "RSA PRIVATE KEY", "sha256WithRSAEncryption", "(2048 bit)"],
  ["RSA 3072 as PKCS#8", { rsaKeySize: 3072, isPkcs8: true }, "PRIVATE KEY", "sha256WithRSAEncryption", "(3072 bit)"],
  ["P-256", { eccAlgorithm: "ECDSA" }, "EC PRIVATE KEY", "ecdsa-with-SHA256", "P-256"],
  [
    "P-384 as PKCS#8",
    { eccAlgorithm: "ECDSA", eccCurve: "P384", isPkcs8: true },
    "PRIVATE KEY",
    "ecdsa-with-SHA384",
    "P-384",
  ],
  [
    "P-256 for a curve nobody knows",
    { eccAlgorithm: "ECDSA", eccCurve: "foo" },
    "EC PRIVATE KEY",
    "ecdsa-with-SHA256",
    "P-256",
  ],
])("openssl agrees with the request for %s", async (_case, settings, label, algorithm, size) => {
  const { key, pem } = await startKeyGeneration(keySpec({ ...DEFAULTS, ...settings })).next();
  expect(pem.revealText().split("\n")[0]).toBe(`-----BEGIN ${label}-----`);
  expect(createPrivateKey(pem.revealText()).equals(key)).toBe(true);
  const text = await openssl(createCsr(key, spiffeId("td", "a", "b")));
  expect(text).toMatch(/verify OK/);
  expect(text).toMatch(new RegExp(`Signature Algorithm: ${algorithm}`));
  expect(text).toContain(size);
  expect(text).toMatch(/X509v3 Subject Alternative Name: critical\s+URI:spiffe:\/\/td\/ns\/a\/sa\/b\s/);
  expect(text).toMatch(/Subject:\s*\n/);
});

test("a name longer than one length byte can say is encoded right", async () => {
  const { key } = await startKeyGeneration(keySpec({ ...DEFAULTS, eccAlgorithm: "ECDSA" })).next();
  for (const length of [100, 127, 128, 200, 255, 256, 400]) {
    const uri = spiffeId("td", "n".repeat(length), "sa");
    expect(await openssl(createCsr(key, uri))).toContain(uri);
  }
});

test("the first key is made before it is asked for, and no key is given twice", async () => {
  const keys = startKeyGeneration(keySpec(DEFAULTS));
  const [first, second] = [await keys.next(), await keys.next()];
  expect(first.pem.equals(second.pem)).toBe(false);
});

test("making a key does not hold up the event loop", async () => {
  const keys = startKeyGeneration(keySpec({ ...DEFAULTS, rsaKeySize: 3072 }));
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  await keys.next();
  clearInterval(timer);
  expect(turns).toBeGreaterThan(5);
});

test.each([
  [{ eccAlgorithm: "ED25519" }, /ECC_SIGNATURE_ALGORITHM: unsupported EC signature algorithm "ED25519"/],
  [{ rsaKeySize: 1024 }, /WORKLOAD_RSA_KEY_SIZE: 1024 does not meet the minimum required size of 2048/],
  [{ rsaKeySize: 32_768 }, /WORKLOAD_RSA_KEY_SIZE: 32768 is more than the 16384 bits/],
  [{ rsaKeySize: -1 }, /minimum required size of 2048/],
])("%j is refused, naming the variable", (settings, message) => {
  expect(() => keySpec({ ...DEFAULTS, ...settings })).toThrow(message);
});

function openssl(csr: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile("openssl", ["req", "-verify", "-text", "-noout"], (error, stdout, stderr) =>
      error === null ? resolve(stdout + stderr) : reject(error),
    );
    child.stdin?.end(csr);
  });
}

execFileSync("openssl", ["version"]); // without openssl these tests prove nothing
