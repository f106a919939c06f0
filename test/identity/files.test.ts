import { mkdir, mkdtemp, rename, rm, symlink, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import {
  keySpec,
  planIdentity,
  type Secrets,
  type SecretsOptions,
  startKeyGeneration,
  startSecrets,
  WELL_KNOWN,
} from "../../src/identity/index.ts";
import { findOsBundle } from "../../src/identity/secrets/os-roots.ts";
import { createTestCa, type IssuedCertificate, type TestCa } from "../support/test-ca.ts";
import { createWorld, SETTINGS, type World } from "./world.ts";

let ca: TestCa;
let pairs: IssuedCertificate[];
beforeAll(async () => {
  ca = await createTestCa();
  pairs = await Promise.all([1, 2, 3, 4].map(() => ca.issue({ dns: ["a"] })));
});

test("a pair is served as it is on disk, under the name that was asked for", async () => {
  await using rig = await start();
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
  await using rig = await start();
  const seen = await rig.watchPair();
  await rig.replace("key", pair(1).keyPem);
  await rig.replace("cert", pair(1).certPem);
  await expect.poll(() => seen.count).toBe(1);
  expect(await rig.text("file-cert:cert~key")).toBe(pair(1).certPem);
});

test("a certificate that comes before its key is not served until the key is there", async () => {
  await using rig = await start();
  const seen = await rig.watchPair();
  await rig.replace("cert", pair(1).certPem);
  await expect.poll(() => rig.world.lines.join("")).toContain("the key does not belong to the certificate");
  expect(await rig.text("file-cert:cert~key")).toBe(pair(0).certPem);
  expect(rig.secrets.status().troubles.join()).toContain("file-cert:cert~key: Cannot use");
  await rig.replace("key", pair(1).keyPem);
  await expect.poll(() => seen.count).toBe(1);
  expect(await rig.text("file-cert:cert~key")).toBe(pair(1).certPem);
  expect(rig.secrets.status().troubles).toEqual([]);
});

test("touching a file without changing it is no update", async () => {
  await using rig = await start();
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
  await using rig = await start();
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
  await using rig = await start();
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
  await using rig = await start();
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
  await using rig = await start();
  await rig.put("b-alt/c/root", ca.certPem);
  await symlink("b-alt", join(rig.world.cwd, "b"));
  const seen = rig.count("file-root:b/c/root");
  await rig.secrets.get("file-root:b/c/root");
  await rig.put("b-alt/c/root", (await createTestCa("new")).certPem);
  await expect.poll(() => seen.count).toBe(1);
});

test("a folder that is removed and recreated is watched again", async () => {
  await using rig = await start();
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
  await using rig = await start();
  await rig.put("root", ca.certPem);
  const [a, b] = [rig.count("file-root:root"), rig.count("file-root:./root")];
  await Promise.all([rig.secrets.get("file-root:root"), rig.secrets.get("file-root:./root")]);
  await rig.put("root", (await createTestCa("new")).certPem);
  await expect.poll(() => [a.count, b.count]).toEqual([1, 1]);
});

test("a name that nobody listens to any more is no longer watched", async () => {
  await using rig = await start();
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
  await using rig = await start({ clock });
  const failure = rig.secrets.get("file-root:nowhere");
  await expect(failure).rejects.toThrow("no such file or directory");
  expect(waited).toBeGreaterThan(10_000);
  expect(waited).toBeLessThan(20_000);
  expect(rig.world.metrics.render()).toContain("istio_agent_num_file_secret_failures_total 1");
});

test("a broken link and a link to itself are missing files", async () => {
  await using rig = await start({
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
  await using rig = await start();
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
  await using rig = await start();
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

test("mounted files are the workload's certificate and roots; extra roots join them, and not a file of its own name", async () => {
  await using rig = await start();
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
  await using _rig = await start({ cwd: world.cwd, files: WELL_KNOWN.mounted, clock, log: world.log });
  for (const text of ["failed to warm certificate", "failed to warm root certificate"]) {
    await expect.poll(() => world.lines.join("")).toMatch(new RegExp(`warn\tcache\t${text}\terror=Cannot use`));
  }
});

test("mounted files that appear late are told, and outlive their removal", async () => {
  await using rig = await start();
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
  await using rig = await start({ crlFile });
  await rig.mount(pair(0));
  const seen = rig.count("ROOTCA");
  expect(await rig.secrets.get("ROOTCA")).not.toHaveProperty("crlFile");
  await writeFile(crlFile, "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n");
  await expect.poll(() => seen.count).toBeGreaterThanOrEqual(1);
  expect(await rig.secrets.get("ROOTCA")).toMatchObject({ crlFile });
  expect(await rig.secrets.get("file-root:etc/certs/root-cert.pem")).not.toHaveProperty("crlFile");
  await writeFile(crlFile, "");
  await expect.poll(async () => "crlFile" in (await rig.secrets.get("ROOTCA"))).toBe(false);
  expect(rig.world.lines.join("")).toContain("certificate revocation list is left out");
  await rm(folder, { recursive: true });
});

interface Counter {
  readonly count: number;
}

interface Rig extends AsyncDisposable {
  readonly world: World;
  readonly secrets: Secrets;
  put(path: string, content: string): Promise<void>;
  replace(path: string, content: string): Promise<void>;
  mount(pair: IssuedCertificate): Promise<void>;
  text(name: string): Promise<string>;
  count(name: string): Counter;
  /** Serves the first pair from the files `cert` and `key`, and counts its updates. */
  watchPair(): Promise<Counter>;
}

async function start(options: Partial<SecretsOptions> = {}): Promise<Rig> {
  const world = await createWorld();
  await world.write("var/run/secrets/istio/root-cert.pem", ca.certPem);
  const plan = await planIdentity({ ...SETTINGS, cwd: world.cwd, isFileMountedCerts: true });
  const secrets = await startSecrets(
    {
      cwd: world.cwd,
      ca: undefined,
      keys: startKeyGeneration(keySpec({ rsaKeySize: 2048, eccAlgorithm: "ECDSA", eccCurve: "", isPkcs8: false })),
      identity: { trustDomain: "", namespace: "", serviceAccount: "" },
      files: plan.files,
      output: undefined,
      crlFile: undefined,
      rotation: { ratio: 0.5, jitter: 0 },
      debounceMs: 50,
      tokens: world.tokens(),
      log: world.log,
      metrics: world.metrics,
      ...options,
    },
    world.stop.signal,
  );
  const put = async (path: string, content: string): Promise<void> => {
    await mkdir(dirname(join(world.cwd, path)), { recursive: true });
    await writeFile(join(world.cwd, path), content);
  };
  const count = (name: string): Counter => {
    const counter = { count: 0 };
    secrets.subscribe(name, () => counter.count++);
    return counter;
  };
  return {
    world,
    secrets,
    put,
    count,
    async replace(path, content) {
      await put(`${path}.new`, content);
      await rename(join(world.cwd, `${path}.new`), join(world.cwd, path));
    },
    async mount({ certPem, keyPem }) {
      await put("etc/certs/cert-chain.pem", certPem);
      await put("etc/certs/key.pem", keyPem);
      await put("etc/certs/root-cert.pem", ca.certPem);
    },
    async text(name) {
      const item = await secrets.get(name);
      return item.kind === "roots" ? item.roots.toString().trim() : item.certChain.toString();
    },
    async watchPair() {
      await put("cert", pair(0).certPem);
      await put("key", pair(0).keyPem);
      const counter = count("file-cert:cert~key");
      await secrets.get("file-cert:cert~key");
      return counter;
    },
    async [Symbol.asyncDispose]() {
      await secrets[Symbol.asyncDispose]();
      await world[Symbol.asyncDispose]();
    },
  };
}

function pair(index: number): IssuedCertificate {
  return pairs[index] as IssuedCertificate;
}

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
