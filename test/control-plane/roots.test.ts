import { X509Certificate } from "node:crypto";
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { silentLogger } from "../../src/base/index.ts";
import { startControlPlane } from "../../src/control-plane/index.ts";
import { connect, makeCsr, openssl, type Rig, startRig } from "./rig.ts";

const WORKLOAD = { namespace: "default", serviceAccount: "web" };
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "pb-roots-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const tokenOf = async (rig: Rig) => (await rig.controlPlane.mintToken(WORKLOAD)).revealText();

describe("a folder for the CA", () => {
  test("keeps root and tokens over a restart, for the owner's eyes only", async () => {
    const first = await startRig({}, { caFolder: folder });
    const { rootPem } = first.controlPlane;
    const token = await tokenOf(first);
    await first[Symbol.asyncDispose]();
    expect(readdirSync(folder).sort()).toEqual([
      "ca-cert.pem",
      "ca-key.pem",
      "cert-chain.pem",
      "root-cert.pem",
      "token-key.pem",
    ]);
    for (const file of readdirSync(folder)) expect(statSync(join(folder, file)).mode & 0o777).toBe(0o600);
    await using second = await startRig({}, { caFolder: folder });
    expect(second.controlPlane.rootPem).toBe(rootPem);
    expect(await second.sign(makeCsr(), token)).toHaveLength(2);
  });

  test("may hold Istio's plugged-in CA with an intermediate and RSA keys", async () => {
    makePluggedCa(folder);
    await using rig = await startRig({}, { caFolder: folder });
    const chain = await rig.sign(makeCsr(), await tokenOf(rig));
    expect(chain).toHaveLength(3); // leaf, intermediate, root
    expect(new X509Certificate(chain[2] ?? "").subject).toBe("CN=root");
    writeFileSync(join(folder, "leaf.pem"), chain[0] ?? "");
    writeFileSync(join(folder, "between.pem"), chain[1] ?? "");
    const verify = ["verify", "-CAfile", "root-cert.pem", "-untrusted", "between.pem", "leaf.pem"];
    expect(openssl(...verify.map((word) => (word.endsWith(".pem") ? join(folder, word) : word)))).toContain("OK");
  });

  test.each<[string, (folder: string) => void, string]>([
    ["with a file missing", (at) => rmSync(join(at, "ca-key.pem")), 'bundle, "ca-key.pem" is missing'],
    ["with another key", (at) => copyFileSync(join(at, "root-key.pem"), join(at, "ca-key.pem")), "is not the key of"],
    ["with nonsense", (at) => writeFileSync(join(at, "ca-cert.pem"), "nonsense"), '"ca-cert.pem" is no certificate'],
    ["without a root", (at) => writeFileSync(join(at, "root-cert.pem"), ""), '"root-cert.pem" holds no certificate'],
  ])("%s is refused", async (_name, damage, reason) => {
    makePluggedCa(folder);
    damage(folder);
    const options = { resources: folder, caFolder: folder, log: silentLogger };
    await expect(startControlPlane(options, new AbortController().signal)).rejects.toMatchObject({
      code: "CA_FOLDER_INVALID",
      message: expect.stringContaining(reason),
    });
  });
});

describe("a change of the root", () => {
  test("with overlap: both roots are handed out, the new one signs, and the old one still gets in", async () => {
    await using rig = await startRig({});
    const before = rig.controlPlane.rootPem;
    await rig.controlPlane.rotateRoot({ isOverlapping: true });
    const bundle = rig.controlPlane.rootPem;
    expect(bundle).toContain(before);
    const client = connect(rig.controlPlane.port, before);
    const [leaf = "", roots] = await rig.sign(makeCsr(), await tokenOf(rig));
    expect(roots).toBe(bundle);
    expect(new X509Certificate(leaf).verify(new X509Certificate(before).publicKey)).toBe(false);
    expect(new X509Certificate(leaf).verify(new X509Certificate(bundle).publicKey)).toBe(true); // the first of them
    await expect(ready(client)).resolves.toBeUndefined();
    client.close();
  });

  test("without overlap: who knows just the old root stays outside", async () => {
    await using rig = await startRig({});
    const before = rig.controlPlane.rootPem;
    await rig.controlPlane.rotateRoot({ isOverlapping: false });
    expect(rig.controlPlane.rootPem).not.toContain(before);
    const late = connect(rig.controlPlane.port, before);
    await expect(ready(late, 1_000)).rejects.toThrow();
    late.close();
    const informed = connect(rig.controlPlane.port, rig.controlPlane.rootPem);
    await expect(ready(informed)).resolves.toBeUndefined();
    informed.close();
  });
});

function ready(client: ReturnType<typeof connect>, ms = 20_000): Promise<void> {
  return new Promise((resolve, reject) => {
    client.waitForReady(Date.now() + ms, (error) => (error === undefined ? resolve() : reject(error)));
  });
}

/** The four files of Istio's `cacerts`, and the root's own key. */
function makePluggedCa(at: string): void {
  const file = (name: string): string => join(at, name);
  const root = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "9", "-subj", "/CN=root"];
  openssl(...root, "-keyout", file("root-key.pem"), "-out", file("root-cert.pem"));
  const request = ["req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=between"];
  openssl(...request, "-keyout", file("ca-key.pem"), "-out", file("ca.csr"));
  writeFileSync(file("ext"), "basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign\n");
  const signer = ["-CA", file("root-cert.pem"), "-CAkey", file("root-key.pem"), "-CAcreateserial"];
  const out = ["-in", file("ca.csr"), "-days", "8", "-extfile", file("ext"), "-out", file("ca-cert.pem")];
  openssl("x509", "-req", ...signer, ...out);
  writeFileSync(
    file("cert-chain.pem"),
    readFileSync(file("ca-cert.pem"), "utf8") + readFileSync(file("root-cert.pem"), "utf8"),
  );
}
