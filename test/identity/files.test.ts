import { mkdir, rename, rm, symlink, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { findOsBundle } from "../../src/identity/tls/os-roots.ts";
import { createTestCa, type IssuedCertificate } from "../support/test-ca.ts";
import { ca, pair, startFiles } from "./files-rig.ts";
import { createWorld } from "./world.ts";

test("a pair is served as it is on disk, under the name that was asked for", async () => {
  await using rig = await startFiles();
  await rig.put("cert", pair(0).certPem);
  await rig.put("key", pair(0).keyPem);
  const item = await rig.secrets.get("file-cert:cert~key");
  expect(item).toMatchObject({ kind: "certificate", name: "file-cert:cert~key" });
  expect(item.kind === "certificate" && item.certChain.toString()).toBe(pair(0).certPem);
  expect(rig.world.lines.join("")).toMatch(
    /adding watcher for file certificate\tresource=file-cert:cert~key files=\S+cert,/,
  );
});

test("a replaced pair is told once and served", async () => {
  await using rig = await startFiles();
  const seen = await rig.watchPair();
  await rig.replace("key", pair(1).keyPem);
  await rig.replace("cert", pair(1).certPem);
  await expect.poll(() => seen.count).toBe(1);
  expect(await rig.text("file-cert:cert~key")).toBe(pair(1).certPem);
});

test("a certificate that comes before its key is not served until the key is there", async () => {
  await using rig = await startFiles();
  const seen = await rig.watchPair();
  await rig.replace("cert", pair(1).certPem);
  await expect.poll(() => rig.world.lines.join("")).toContain("the key does not belong to the certificate");
  expect(await rig.text("file-cert:cert~key")).toBe(pair(0).certPem);
  expect(
    rig.secrets
      .status()
      .troubles.map(({ text }) => text)
      .join(),
  ).toContain("file-cert:cert~key: Cannot use");
  await rig.replace("key", pair(1).keyPem);
  await expect.poll(() => seen.count).toBe(1);
  expect(await rig.text("file-cert:cert~key")).toBe(pair(1).certPem);
  expect(rig.secrets.status().troubles).toEqual([]);
});

test("touching a file without changing it is no update", async () => {
  await using rig = await startFiles();
  const seen = await rig.watchPair();
  await rig.replace("cert", pair(0).certPem);
  await rig.put("root", ca.certPem);
  const roots = rig.count("file-root:root");
  await rig.secrets.get("file-root:root");
  await rig.replace("root", `${(await createTestCa("b")).certPem}`);
  await expect.poll(() => roots.count).toBe(1);
  expect(seen.count).toBe(0);
});

test("a root that is replaced, deleted, recreated and written in place is told each time", async () => {
  await using rig = await startFiles();
  const [b, c, d] = await Promise.all(["b", "c", "d"].map((name) => createTestCa(name)));
  await rig.put("root", ca.certPem);
  const seen = rig.count("file-root:root");
  await rig.secrets.get("file-root:root");
  await rig.replace("root", b?.certPem ?? "");
  await expect.poll(() => seen.count).toBe(1);
  await unlink(join(rig.world.cwd, "root"));
  await expect.poll(() => rig.world.lines.join("")).toContain("no such file or directory");
  expect(await rig.text("file-root:root")).toBe(b?.certPem.trim());
  await rig.put("root", c?.certPem ?? "");
  await expect.poll(() => seen.count).toBe(2);
  await rig.put("root", d?.certPem ?? "");
  await expect.poll(() => seen.count).toBe(3);
  expect(await rig.text("file-root:root")).toBe(d?.certPem.trim());
});

test("half a file, an empty one and nonsense never replace the good version", async () => {
  await using rig = await startFiles();
  await rig.put("root", ca.certPem);
  const seen = rig.count("file-root:root");
  await rig.secrets.get("file-root:root");
  for (const bad of [ca.certPem.slice(0, 200), "", "nonsense"]) {
    await rig.put("root", bad);
    await expect.poll(() => rig.secrets.status().troubles).toHaveLength(1);
    expect(await rig.text("file-root:root")).toBe(ca.certPem.trim());
    await rig.put("root", ca.certPem);
    await expect.poll(() => rig.secrets.status().troubles).toEqual([]);
  }
  expect(seen.count).toBe(0);
});

test("three swaps of Kubernetes' ..data are three updates, also through a chain of links", async () => {
  await using rig = await startFiles();
  const mounted = join(rig.world.cwd, "mnt");
  await publish(mounted, "1", pair(0));
  await symlink(join(mounted, "key"), join(rig.world.cwd, "key"));
  await symlink("mnt/cert", join(rig.world.cwd, "cert"));
  const seen = rig.count("file-cert:cert~key");
  await rig.secrets.get("file-cert:cert~key");
  for (const round of [1, 2, 3]) {
    await publish(mounted, `${round + 1}`, pair(round));
    await expect.poll(() => seen.count).toBe(round);
    expect(await rig.text("file-cert:cert~key")).toBe(pair(round).certPem);
  }
});

test("a file below a linked folder is watched where it really is", async () => {
  await using rig = await startFiles();
  await rig.put("b-alt/c/root", ca.certPem);
  await symlink("b-alt", join(rig.world.cwd, "b"));
  const seen = rig.count("file-root:b/c/root");
  await rig.secrets.get("file-root:b/c/root");
  await rig.put("b-alt/c/root", (await createTestCa("new")).certPem);
  await expect.poll(() => seen.count).toBe(1);
});

test("a folder that is removed and recreated is watched again", async () => {
  await using rig = await startFiles();
  await rig.put("d/e/root", ca.certPem);
  const seen = rig.count("file-root:d/e/root");
  await rig.secrets.get("file-root:d/e/root");
  for (const round of [1, 2]) {
    await rm(join(rig.world.cwd, "d"), { recursive: true });
    await expect.poll(() => rig.secrets.status().troubles).toHaveLength(1);
    await rig.put("d/e/root", (await createTestCa(`round ${round}`)).certPem);
    await expect.poll(() => seen.count).toBe(round);
  }
});

test("two names on one file are both told", async () => {
  await using rig = await startFiles();
  await rig.put("root", ca.certPem);
  const [a, b] = [rig.count("file-root:root"), rig.count("file-root:./root")];
  await Promise.all([rig.secrets.get("file-root:root"), rig.secrets.get("file-root:./root")]);
  await rig.put("root", (await createTestCa("new")).certPem);
  await expect.poll(() => [a.count, b.count]).toEqual([1, 1]);
});

test("a name that nobody listens to any more is no longer watched", async () => {
  await using rig = await startFiles();
  await rig.put("root", ca.certPem);
  const stops = [1, 2, 3].map(() => rig.secrets.subscribe("file-root:root", () => undefined));
  await rig.secrets.get("file-root:root");
  expect(rig.secrets.status().files.map(({ name }) => name)).toContain("file-root:root");
  for (const stop of stops) stop();
  expect(rig.secrets.status().files.map(({ name }) => name)).not.toContain("file-root:root");
});

test("missing files are waited for, then the system's reason is given", async () => {
  let waited = 0;
  const clock = {
    now: () => waited,
    sleep: async (ms: number) => {
      waited += ms;
    },
  };
  await using rig = await startFiles({ clock });
  const failure = rig.secrets.get("file-root:nowhere");
  await expect(failure).rejects.toThrow("no such file or directory");
  expect(waited).toBeGreaterThan(10_000);
  expect(waited).toBeLessThan(20_000);
  expect(rig.world.metrics.render()).toContain("istio_agent_num_file_secret_failures_total 1");
});

test("a broken link and a link to itself are missing files", async () => {
  await using rig = await startFiles({
    clock: { now: () => Date.now(), sleep: () => Promise.reject(new Error("no patience")) },
  });
  await symlink("nowhere", join(rig.world.cwd, "broken"));
  await symlink("circle", join(rig.world.cwd, "circle"));
  const stops = ["broken", "circle"].map((name) => rig.secrets.subscribe(`file-root:${name}`, () => undefined));
  await expect(rig.secrets.get("file-root:broken")).rejects.toThrow();
  await expect(rig.secrets.get("file-root:circle")).rejects.toThrow();
  for (const stop of stops) stop();
});

test("unusable certificates of a bundle are left out, and that is logged", async () => {
  await using rig = await startFiles();
  const b = await createTestCa("b");
  const broken = "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n";
  await rig.put("root", [ca.certPem.slice(0, 200), ca.certPem, `# text\n${b.certPem}`, broken].join("\n"));
  const text = await rig.text("file-root:root");
  expect(text).toBe(`${ca.certPem.trim()}\n${b.certPem.trim()}`);
  expect(text).not.toContain("# text");
  expect(rig.world.lines.join("")).toContain("failed to parse some certs from file");
});

test("the system's roots are the same as its bundle by path", async () => {
  const bundle = await findOsBundle();
  await using rig = await startFiles();
  if (bundle === undefined) {
    await expect(rig.secrets.get("file-root:system")).rejects.toMatchObject({ code: "SECRET_UNKNOWN" });
    return;
  }
  expect(await rig.text("file-root:system")).toBe(await rig.text(`file-root:${bundle}`));
});

test("the first existing bundle is the system's", async () => {
  await using world = await createWorld();
  const path = await world.write("b", "x");
  expect(await findOsBundle([join(world.cwd, "a"), world.cwd, path])).toBe(path);
  expect(await findOsBundle([join(world.cwd, "a")])).toBeUndefined();
});

/** Swaps a folder of files as the kubelet does for secrets. */
async function publish(folder: string, version: string, { certPem, keyPem }: IssuedCertificate): Promise<void> {
  const data = join(folder, `..${version}`);
  await mkdir(data, { recursive: true });
  await writeFile(join(data, "cert"), certPem);
  await writeFile(join(data, "key"), keyPem);
  await symlink(`..${version}`, join(folder, "..data_tmp"));
  await rename(join(folder, "..data_tmp"), join(folder, "..data"));
  for (const name of ["cert", "key"]) {
    await symlink(join("..data", name), join(folder, name)).catch(() => undefined); // there since the first time
  }
}
