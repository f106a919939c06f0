import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { silentLogger } from "../../src/base/index.ts";
import { readCaMaterial } from "../../src/control-plane/ca/ca-material.ts";
import { startControlPlane } from "../../src/control-plane/index.ts";
import { runtimes, start } from "../support/pilotboat.ts";
import { type CaTexts, makeSigner, writeCaFiles } from "./ca-files.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "pb-ca-folder-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const root = await makeSigner("root");
const middle = await makeSigner("middle", { issuer: root });
const signer = await makeSigner("signer", { issuer: middle });
const stranger = await makeSigner("stranger");
const GOOD: CaTexts = { signer: signer.pem, key: signer.keyPem, chain: signer.pem + middle.pem, roots: root.pem };
const SELF_SIGNED: CaTexts = { signer: root.pem, key: root.keyPem, chain: root.pem, roots: root.pem };
const renewed = await makeSigner("root", { keys: root.keys });
const over = await makeSigner("root", { keys: root.keys, to: -1 });
const crossed = await makeSigner("middle", { keys: middle.keys, issuer: stranger });

test.each<[string, CaTexts, readonly string[]]>([
  ["a root that signs itself", SELF_SIGNED, []],
  ["a root with an empty chain", { ...SELF_SIGNED, chain: "" }, []],
  ["two certificates between signer and root", GOOD, ["signer", "middle"]],
  ["a chain without the signer", { ...GOOD, chain: middle.pem }, ["signer", "middle"]],
  ["a chain in the wrong order", { ...GOOD, chain: middle.pem + signer.pem }, ["signer", "middle"]],
  ["a chain that ends with the root", { ...GOOD, chain: GOOD.chain + root.pem }, ["signer", "middle"]],
  ["a second root, of others", { ...GOOD, roots: stranger.pem + root.pem }, ["signer", "middle"]],
  ["an old root beside its renewal", { ...GOOD, roots: over.pem + renewed.pem }, ["signer", "middle"]],
  ["a cross-signed certificate beside", { ...GOOD, chain: crossed.pem + GOOD.chain }, ["signer", "middle"]],
  [
    "CRLF, text and no last newline",
    mapTexts(GOOD, (text) => `text\r\n${text.trim().replaceAll("\n", "\r\n")}`),
    ["signer", "middle"],
  ],
])("reality 11: %s is taken", async (_what, texts, between) => {
  writeCaFiles(folder, texts);
  const material = await readCaMaterial(folder);
  expect(material?.chain.map((pem) => new X509Certificate(pem).subject)).toEqual(between.map((name) => `CN=${name}`));
  await using _plane = await startPlane();
});

const noCa = await makeSigner("middle", { issuer: root, keys: middle.keys, isCa: false });
const noSigning = await makeSigner("middle", {
  issuer: root,
  keys: middle.keys,
  maySign: false,
});
const early = await makeSigner("middle", { issuer: root, keys: middle.keys, from: 1 });
const late = await makeSigner("middle", { issuer: root, keys: middle.keys, to: -1 });
const future = await makeSigner("root", { keys: root.keys, from: 1 });
const shallow = await makeSigner("root", { keys: root.keys, pathLength: 0 });
const namesake = await makeSigner("root");
const p521 = await makeSigner("root", { curve: "P-521" });

test.each<[string, CaTexts, RegExp]>([
  ["another key", { ...GOOD, key: middle.keyPem }, /"ca-key.pem" is not the key of "ca-cert.pem"/],
  ["a key that is none", { ...GOOD, key: root.pem }, /"ca-key.pem" is no private key: it holds no private key/],
  [
    "an encrypted key",
    { ...GOOD, key: signer.keyPem.replaceAll("PRIVATE", "ENCRYPTED PRIVATE") },
    /the key is encrypted/,
  ],
  [
    "a P-521 key",
    { ...SELF_SIGNED, signer: p521.pem, key: p521.keyPem, roots: p521.pem, chain: "" },
    /of another kind/,
  ],
  ["a signer that is cut off", { ...GOOD, signer: signer.pem.slice(0, 200) }, /"ca-cert.pem" is no certificate/],
  ["a signer that is no CA", { ...SELF_SIGNED, ...(await leafAsSigner()) }, /"CN=leaf" of "ca-cert.pem" is no CA's/],
  ["a signer that expired", await selfSigned({ to: -1 }), /"CN=root" of "ca-cert.pem" expired/],
  ["a signer of tomorrow", await selfSigned({ from: 1 }), /"CN=root" of "ca-cert.pem" is not valid before/],
  [
    "another root",
    { ...GOOD, roots: stranger.pem },
    /no certificate in .* issued "CN=middle" of "cert-chain.pem" \(its issuer is "CN=root"\)/,
  ],
  ["a root of the same name", { ...GOOD, roots: namesake.pem }, /no certificate in .* issued "CN=middle"/],
  ["a root that expired", { ...GOOD, roots: over.pem }, /"CN=root" of "root-cert.pem" expired/],
  ["a root of tomorrow", { ...GOOD, roots: future.pem }, /"CN=root" of "root-cert.pem" is not valid before/],
  ["no root", { ...GOOD, roots: "nothing" }, /"root-cert.pem" holds no certificate/],
  [
    "a root that is cut off",
    { ...GOOD, roots: root.pem + root.pem.slice(0, 99) },
    /"root-cert.pem" holds a certificate that cannot be read/,
  ],
  [
    "no chain where one is needed",
    { ...GOOD, chain: "" },
    /no certificate in "root-cert.pem" issued "CN=signer" of "ca-cert.pem"/,
  ],
  ["a chain with a gap", { ...GOOD, chain: signer.pem }, /issued "CN=signer" of "ca-cert.pem"/],
  ["another CA's chain", { ...SELF_SIGNED, chain: stranger.pem }, /"CN=stranger" of "cert-chain.pem" did not issue/],
  [
    "a certificate too many",
    { ...GOOD, chain: GOOD.chain + stranger.pem },
    /"CN=stranger" of "cert-chain.pem" did not issue/,
  ],
  [
    "a chain that is cut off",
    { ...GOOD, chain: GOOD.chain.slice(0, -60) },
    /"cert-chain.pem" holds a certificate that cannot/,
  ],
  ["a certificate between that is no CA's", { ...GOOD, chain: noCa.pem }, /"CN=middle" of "cert-chain.pem" is no CA's/],
  ["one that may not sign", { ...GOOD, chain: noSigning.pem }, /"CN=middle" of "cert-chain.pem" is no CA's/],
  ["one that expired", { ...GOOD, chain: late.pem }, /"CN=middle" of "cert-chain.pem" expired/],
  ["one of tomorrow", { ...GOOD, chain: early.pem }, /"CN=middle" of "cert-chain.pem" is not valid before/],
  ["a root that allows no CA below it", { ...GOOD, roots: shallow.pem }, /allows 0 CAs below it, and there are 2/],
])("reality 11: %s is refused with file and name", async (_what, texts, reason) => {
  writeCaFiles(folder, texts);
  await expect(startPlane()).rejects.toMatchObject({
    code: "CA_FOLDER_INVALID",
    message: expect.stringMatching(reason),
  });
});

test.each(["nothing", p521.keyPem])("reality 11: a token key that is none is refused", async (text) => {
  writeCaFiles(folder, GOOD);
  writeFileSync(join(folder, "token-key.pem"), text);
  await expect(startPlane()).rejects.toMatchObject({
    code: "CA_FOLDER_INVALID",
    message: expect.stringContaining("token-key.pem"),
  });
});

describe.each(runtimes())("reality 11: a CA folder on $name", (runtime) => {
  const words = () => ["control-plane", "--dir", folder, "--port", "0", "--ca-dir", folder];

  test("is taken when its files fit together", async () => {
    writeCaFiles(folder, GOOD);
    await using command = start(runtime, words());
    await command.waitFor(/15012|listen|:\d{4,5}/);
  });

  test.each<[string, CaTexts, RegExp]>([
    ["another root", { ...GOOD, roots: namesake.pem }, /CA_FOLDER_INVALID[\s\S]*issued "CN=middle"|issued "CN=middle"/],
    ["one that may not sign", { ...GOOD, chain: noSigning.pem }, /"CN=middle" of "cert-chain.pem" is no CA's/],
  ])("is refused with %s, exit code 2", async (_what, texts, reason) => {
    writeCaFiles(folder, texts);
    await using command = start(runtime, words());
    expect(await command.ended).toMatchObject({ code: 2 });
    expect(command.stderr()).toMatch(reason);
  });
});

function startPlane() {
  return startControlPlane({ resources: folder, caFolder: folder, log: silentLogger }, new AbortController().signal);
}

function mapTexts(texts: CaTexts, change: (text: string) => string): CaTexts {
  const { signer: a, key, chain, roots } = texts;
  return { signer: change(a), key: change(key), chain: change(chain), roots: change(roots) };
}

async function leafAsSigner(): Promise<Partial<CaTexts>> {
  const leaf = await makeSigner("leaf", { issuer: root, isCa: false });
  return { signer: leaf.pem, key: leaf.keyPem, chain: "" };
}

async function selfSigned(dates: { readonly from?: number; readonly to?: number }): Promise<CaTexts> {
  const { pem, keyPem } = await makeSigner("root", dates);
  return { signer: pem, key: keyPem, chain: pem, roots: pem };
}
