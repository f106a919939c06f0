import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { PATHS } from "../../src/istio/index.ts";
import { createTestCa } from "../support/test-ca.ts";
import { ca, pair, startFiles } from "./files-rig.ts";
import { createWorld } from "./world.ts";

test("mounted files are the workload's certificate and roots; extra roots join them, and not a file of its own name", async () => {
  await using rig = await startFiles();
  await rig.mount(pair(0));
  expect(await rig.text("default")).toBe(pair(0).certPem);
  const extra = (await createTestCa("extra")).certPem;
  const [seen, own] = [rig.count("ROOTCA"), rig.count("file-root:etc/certs/root-cert.pem")];
  rig.secrets.setExtraRoots([extra]);
  expect([seen.count, own.count]).toEqual([1, 0]);
  expect(await rig.text("ROOTCA")).toBe([ca.certPem.trim(), extra.trim()].sort().join("\n"));
  expect(await rig.text("file-root:etc/certs/root-cert.pem")).toBe(ca.certPem.trim());
  expect(rig.secrets.status().certificate).toMatchObject({ source: "file", subject: "CN=leaf" });
});

test("mounted files that are there and unusable are told while warming up", async () => {
  await using world = await createWorld();
  await world.write("etc/certs/cert-chain.pem", "x");
  await world.write("etc/certs/key.pem", "x");
  await world.write("etc/certs/root-cert.pem", "x");
  let waited = 0;
  const clock = {
    now: () => waited,
    sleep: async (ms: number) => {
      waited += ms;
    },
  };
  await using _rig = await startFiles({ cwd: world.cwd, files: PATHS.mounted, clock, log: world.log });
  for (const text of ["failed to warm certificate", "failed to warm root certificate"]) {
    await expect.poll(() => world.lines.join("")).toMatch(new RegExp(`warn\tcache\t${text}\terror=Cannot use`));
  }
});

test("mounted files that appear late are told, and outlive their removal", async () => {
  await using rig = await startFiles();
  await expect(rig.secrets.get("default")).rejects.toThrow("ca client is nil");
  const seen = rig.count("default");
  await rig.mount(pair(0));
  await expect.poll(() => seen.count).toBeGreaterThanOrEqual(1);
  expect(await rig.text("default")).toBe(pair(0).certPem);
  await rm(join(rig.world.cwd, "etc"), { recursive: true });
  await expect.poll(() => rig.secrets.status().troubles.length).toBeGreaterThan(0);
  expect(await rig.text("default")).toBe(pair(0).certPem);
});

test("a revocation list goes with the roots while it is there and usable, and with nothing else", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pb-crl-"));
  const crlFile = join(folder, "ca-crl.pem");
  await using rig = await startFiles({ crlFile });
  await rig.mount(pair(0));
  const seen = rig.count("ROOTCA");
  expect(await rig.secrets.get("ROOTCA")).not.toHaveProperty("crl");
  const list = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
  await writeFile(crlFile, `issued by hand\r\n${list}`);
  await expect.poll(() => seen.count).toBeGreaterThanOrEqual(1);
  expect(await rig.secrets.get("ROOTCA")).toMatchObject({ crl: Buffer.from(list) });
  expect(await rig.secrets.get("file-root:etc/certs/root-cert.pem")).not.toHaveProperty("crl");
  await writeFile(crlFile, "");
  await expect.poll(async () => "crl" in (await rig.secrets.get("ROOTCA"))).toBe(false);
  expect(rig.world.lines.join("")).toContain("ignoring the certificate revocation list");
  await rm(folder, { recursive: true });
});
