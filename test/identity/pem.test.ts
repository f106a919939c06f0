import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { encodeCertificate, parseCertificates, parseChain } from "../../src/base/index.ts";
import { mergeRoots } from "../../src/identity/secrets/pem.ts";
import { createTestCa } from "../support/test-ca.ts";

let a: string;
let b: string;
beforeAll(async () => {
  [a, b] = (await Promise.all(["a", "b"].map((name) => createTestCa(name)))).map(({ certPem }) => certPem.trim()) as [
    string,
    string,
  ];
});

const encode = (certificate: X509Certificate): string => encodeCertificate(certificate).trim();

const NO_CERTIFICATE = "-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----";

test.each<[string, (a: string) => string]>([
  ["a truncated block", (text) => text.split("\n").slice(0, 4).join("\n")],
  ["a block that ends as something else", (text) => text.replace("END CERTIFICATE", "END X509 CRL")],
  ["a block that ends twice, first as something else", (text) => text.replace("-----END", "-----END X-----\n-----END")],
  ["a lone first line", () => "-----BEGIN CERTIFICATE-----"],
  ["a lone last line", () => "-----END CERTIFICATE-----"],
  ["a block that is no base64", () => "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----"],
  ["a block that is no certificate", () => NO_CERTIFICATE],
  ["a block of another kind", (text) => text.replaceAll("CERTIFICATE", "TRUSTED CERTIFICATE")],
  ["text with dashes", () => "# a ----- b -----\n"],
])("%s never costs the good one after it", (_case, damage) => {
  expect(parseCertificates(`${damage(a)}\n${b}`).map(encode)).toEqual([b]);
  expect(parseCertificates(`${b}\n${damage(a)}\n${b}`)).toHaveLength(2);
});

test("what is left out is told", () => {
  const reasons: string[] = [];
  parseCertificates(`${a.slice(0, 200)}\n${NO_CERTIFICATE}\n${b}`, (reason) => reasons.push(reason));
  expect(reasons).toEqual(["a CERTIFICATE block has no END line of its own", expect.stringMatching(/\w/)]);
});

test("a serial number below zero is left out: Go refuses it, Node does not", async () => {
  const negative = await negativeSerial();
  const reasons: string[] = [];
  expect(parseCertificates(`${negative}${a}`, (reason) => reasons.push(reason)).map(encode)).toEqual([a]);
  expect(reasons).toEqual(['negative serial number in "CN=odd"']);
});

test("hostile fuzz: of a chain the first certificate that can be used has a serial number above zero, whatever came before it", async () => {
  const negative = await negativeSerial();
  expect(parseChain(`${NO_CERTIFICATE}\n${negative}${a}`).map(encode)).toEqual([a]);
  expect(parseChain(`${a}${negative}`).map(encode)).toEqual([a, encode(new X509Certificate(negative))]);
});

test("a megabyte that never ends costs nothing of what came before it", () => {
  const endless = `-----BEGIN CERTIFICATE-----\n${"QUJD\n".repeat(200_000)}`;
  expect(parseCertificates(`${a}\n${endless}`).map(encode)).toEqual([a]);
});

test("merged roots are sorted, each once, without comments", () => {
  expect(mergeRoots([`# text\n${b}\nBogus`, a, `${a}\n${b}`])).toBe([a, b].sort().join("\n"));
  expect(mergeRoots(["", "Bogus"])).toBe("");
});

async function negativeSerial(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "pb-serial-"));
  const [key, cert] = [join(folder, "k"), join(folder, "c")];
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key];
  execFileSync("openssl", ["req", "-x509", ...kind, "-subj", "/CN=odd", "-set_serial", "-5", "-out", cert], {
    stdio: "ignore",
  });
  const pem = await readFile(cert, "utf8");
  await rm(folder, { recursive: true });
  new X509Certificate(pem); // Node takes it: the check has to be ours
  return pem;
}
