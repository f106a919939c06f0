import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSecureContext } from "node:tls";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readKeyPair } from "../../src/identity/tls/key-pair.ts";
import { readSystemRoots } from "../../src/identity/tls/os-roots.ts";
import { createTestCa } from "../support/test-ca.ts";
import { makeOddPairs } from "./odd-keys.ts";
import { NO_CERTIFICATE } from "./odd-pem.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-pairs-"));
});
afterEach(() => rm(folder, { recursive: true }));

test.each(makeOddPairs())("reality 9: $what as certificate and key", async ({ certificate, key, refused }) => {
  const files = { certChain: await put("cert", certificate), key: await put("key", key) };
  if (refused !== undefined) {
    await expect(readKeyPair(files)).rejects.toMatchObject({ message: expect.stringContaining(refused) });
    return;
  }
  const pair = await readKeyPair(files);
  createSecureContext({ cert: pair.certChain, key: pair.key.reveal() });
  expect(pair.certChain.toString()).toMatch(/^(-----BEGIN CERTIFICATE-----\n[^-]*-----END CERTIFICATE-----\n?)+$/);
  expect(pair.key.revealText()).toMatch(
    /^-----BEGIN (RSA |EC )?PRIVATE KEY-----\n[^-]*-----END \1?PRIVATE KEY-----\n?$/,
  );
});

const roots = await Promise.all(["a", "b", "c"].map(async (name) => (await createTestCa(name)).certPem));

/** What Go's x509.SystemCertPool gives for the same words. */
test.each<[string, string, string, number]>([
  ["a file alone", "file", "none", 1],
  ["a file with a broken certificate", "broken", "none", 1],
  ["folders alone, with links to the same folder left out", "none", "one:two", 2],
  ["file and folders, each certificate once", "file", "one:two:none:", 3],
])("reality 9: SYSTEM means %s", async (_what, certFile, certFolders, count) => {
  const [a = "", b = "", c = ""] = roots;
  await put("file", a);
  await put("broken", NO_CERTIFICATE + a);
  await put("one/b.pem", b);
  await put("one/text", "no PEM");
  await put("two/c", c);
  if (certFile === "file") await put("two/again", `${a}\n${b}`);
  else await symlink("c", join(folder, "two/hash.0"));
  const found = await readSystemRoots({ cwd: folder, certFile, certFolders });
  expect(found?.toString().match(/BEGIN CERTIFICATE/g)).toHaveLength(count);
});

test("reality 9: places that hold no root are an error that names them, never another list", async () => {
  await put("folder/in", "x");
  for (const [certFile, certFolders] of [
    ["none", "none"],
    ["folder", "none"],
    ["none", "none:folder"],
  ] as const) {
    const reading = readSystemRoots({ cwd: folder, certFile, certFolders });
    await expect(reading).rejects.toMatchObject({
      code: "ROOT_CA_UNUSABLE",
      message: expect.stringMatching(/SSL_CERT_FILE "\w+" or SSL_CERT_DIR "none/),
    });
  }
});

async function put(name: string, content: string): Promise<string> {
  const path = join(folder, name);
  await mkdir(join(path, ".."), { recursive: true });
  await writeFile(path, content);
  return path;
}
