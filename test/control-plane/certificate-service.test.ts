import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as tls from "node:tls";
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createTokenIssuer, createTokenKey } from "../../src/control-plane/callers/tokens.ts";
import { connect, EC_KEY, makeCsr, node, openssl, type Rig, startRig } from "./rig.ts";

let rig: Rig;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "pb-certs-"));
  rig = await startRig({});
});
afterAll(async () => {
  await rig[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

const SHOP_WEB = { namespace: "shop", serviceAccount: "web" };
const token = async (ttlMs?: number) => (await rig.controlPlane.mintToken(SHOP_WEB, ttlMs)).revealText();
const write = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};

describe("a certificate", () => {
  test.each([[["rsa:2048"]], [EC_KEY], [["ec", "-pkeyopt", "ec_paramgen_curve:P-384"]], [["ed25519"]]])(
    "for a key of %j is for the caller's own identity, whatever the request says",
    async (key) => {
      const chain = await rig.sign(makeCsr(key), await token());
      expect(chain).toHaveLength(2);
      expect(chain[1]).toBe(rig.controlPlane.rootPem);
      const leaf = new X509Certificate(chain[0] ?? "");
      expect(leaf.subjectAltName).toBe("URI:spiffe://cluster.local/ns/shop/sa/web");
      expect(leaf.subject ?? "").toBe("");
      expect(leaf.ca).toBe(false);
      expect(Date.parse(leaf.validFrom)).toBeLessThanOrEqual(Date.now() - 119_000);
    },
  );

  test("is accepted by openssl for both ends of a connection", async () => {
    const [leaf = "", root = ""] = await rig.sign(makeCsr(), await token());
    const verify = ["verify", "-x509_strict", "-CAfile", write("root.pem", root)];
    const path = write("leaf.pem", leaf);
    for (const purpose of ["sslserver", "sslclient"]) {
      expect(openssl(...verify, "-purpose", purpose, path)).toContain("leaf.pem: OK");
    }
    const text = openssl("x509", "-in", path, "-noout", "-text");
    expect(text).toMatch(/Subject Alternative Name: critical/);
    expect(text).toMatch(/Key Usage: critical\s+Digital Signature, Key Encipherment/);
    expect(text).toMatch(/TLS Web Server Authentication, TLS Web Client Authentication/);
    expect(text).toMatch(/Basic Constraints: critical\s+CA:FALSE/);
  });

  test("has a common name when the request has one and the identity is short enough", async () => {
    const csr = makeCsr(EC_KEY, { subject: "/CN=me" });
    const subjectFor = async (serviceAccount: string) => {
      const minted = await rig.controlPlane.mintToken({ namespace: "shop", serviceAccount });
      const [leaf = ""] = await rig.sign(csr, minted.revealText());
      return new X509Certificate(leaf).subject ?? "";
    };
    expect(await subjectFor("web")).toBe("CN=spiffe://cluster.local/ns/shop/sa/web");
    expect(await subjectFor("w".repeat(60))).toBe("");
  });

  test("lives as long as asked for; not asked means a day; a fault can shorten it", async () => {
    const csr = makeCsr();
    const lifetime = async (ttl: number) => {
      const [leaf = ""] = await rig.sign(csr, await token(), ttl);
      return (Date.parse(new X509Certificate(leaf).validTo) - Date.now()) / 1_000;
    };
    expect(await lifetime(600)).toBeCloseTo(600, -1);
    expect(await lifetime(0)).toBeCloseTo(86_400, -1);
    rig.controlPlane.faults.shortenCertificates(30_000);
    expect(await lifetime(600)).toBeCloseTo(30, -1);
    rig.controlPlane.faults.shortenCertificates(undefined);
    expect(await lifetime(600)).toBeCloseTo(600, -1);
  });

  test.each<[string, () => Promise<readonly string[]>, number, string]>([
    ["no token", () => rig.sign(makeCsr(), undefined), status.UNAUTHENTICATED, "request authenticate failure"],
    ["a foreign token", () => rig.sign(makeCsr(), "a.b.c"), status.UNAUTHENTICATED, "request authenticate failure"],
    ["an expired token", async () => rig.sign(makeCsr(), await token(-10_000)), status.UNAUTHENTICATED, "exp"],
    ["no request", async () => rig.sign("nonsense", await token()), status.INVALID_ARGUMENT, "CSR signing error"],
    ["a broken request", async () => rig.sign(tampered(makeCsr()), await token()), status.INVALID_ARGUMENT, "CSR"],
    [
      "a lifetime of a year",
      async () => rig.sign(makeCsr(), await token(), 365 * 86_400),
      status.INVALID_ARGUMENT,
      "CSR signing error (requested TTL 8760h0m0s is greater than the max allowed TTL 2160h0m0s)",
    ],
    [
      "an impersonation",
      async () => rig.sign(makeCsr(), await token(), 60, { ImpersonatedIdentity: "spiffe://cluster.local/ns/a/sa/b" }),
      status.UNAUTHENTICATED,
      "request impersonation authentication failure",
    ],
  ])("%s is refused", async (_name, sign, code, details) => {
    await expect(sign()).rejects.toMatchObject({ code, details: expect.stringContaining(details) });
  });
});

test("the server shows the names under which agents look for it, and the one it listens on", async () => {
  await using other = await startRig({}, { host: "127.0.0.2" });
  const { port, rootPem } = other.controlPlane;
  const raw = await new Promise<Buffer>((resolve, reject) => {
    const options = {
      host: "127.0.0.2",
      port,
      ca: rootPem,
      servername: "istiod.istio-system.svc",
      ALPNProtocols: ["h2"],
    };
    const socket = tls.connect(options, () => {
      resolve(socket.getPeerCertificate().raw);
      socket.destroy();
    });
    socket.once("error", reject); // also when the name is not among them
  });
  expect(new X509Certificate(raw).subjectAltName?.split(", ")).toEqual([
    "DNS:istiod.istio-system.svc",
    "DNS:localhost",
    "IP Address:127.0.0.1",
    "IP Address:0:0:0:0:0:0:0:1",
    "IP Address:127.0.0.2",
  ]);
});

test("a client certificate of this mesh is identity enough", async () => {
  const keyFile = join(folder, "client.key");
  const [certificate = ""] = await rig.sign(makeCsr(EC_KEY, { keyFile }), await token());
  const own = { certificate, key: readFileSync(keyFile, "utf8") };
  const { port, rootPem } = rig.controlPlane;
  const client = connect(port, rootPem, own);
  const stream = rig.delta(undefined, client);
  stream.send({ node: node({}, "shop"), typeUrl: "type.googleapis.com/envoy.config.cluster.v3.Cluster" });
  expect((await stream.next()).resources).toEqual([]);
  stream.cancel();
  client.close();
});

test("a client certificate of another mesh counts for nothing", async () => {
  await using other = await startRig({});
  const keyFile = join(folder, "other.key");
  const foreign = (await other.controlPlane.mintToken(SHOP_WEB)).revealText();
  const [certificate = ""] = await other.sign(makeCsr(EC_KEY, { keyFile }), foreign);
  const { port, rootPem } = rig.controlPlane;
  const client = connect(port, rootPem, { certificate, key: readFileSync(keyFile, "utf8") });
  const stream = rig.delta(undefined, client);
  stream.send({ node: node({}, "shop"), typeUrl: "type.googleapis.com/envoy.config.cluster.v3.Cluster" });
  expect(await stream.failed).toMatchObject({ code: status.UNAUTHENTICATED });
  client.close();
});

test.each([
  ["another audience", { audience: "vault" }, '"aud"'],
  ["another issuer", { issuer: "somebody" }, '"iss"'],
])("a token for %s is refused", async (_name, settings, reason) => {
  const key = createTokenKey();
  const minted = await createTokenIssuer(key, settings).mint(SHOP_WEB, 60_000);
  expect(await createTokenIssuer(key).check(minted.revealText())).toContain(reason);
});

test("a token for something else than a service account is refused", async () => {
  const issuer = createTokenIssuer(createTokenKey());
  const minted = await issuer.mint({ namespace: "a:b", serviceAccount: "c" }, 60_000);
  expect(await issuer.check(minted.revealText())).toContain("no service account");
});

/** The last character of the signature changed. */
function tampered(csr: string): string {
  return csr.replace(/([A-Za-z0-9+/])(=*\n-----END)/, (_, letter: string, end: string) => {
    return `${letter === "A" ? "Q" : "A"}${end}`;
  });
}
