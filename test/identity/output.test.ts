import { execFileSync } from "node:child_process";
import { chmod, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Secrets, SecretsOptions } from "../../src/identity/index.ts";
import { PATHS } from "../../src/istio/index.ts";
import { createSigner, type FakeCa, type FakeCaOptions, startFakeCa } from "../support/fake-ca.ts";
import { createMovableClock, type MovableClock } from "../support/movable-clock.ts";
import { createTestCa } from "../support/test-ca.ts";
import { createWorld, type World } from "./world.ts";

const HOUR = 3_600_000;
const FILES = ["cert-chain.pem", "key.pem", "root-cert.pem"];

test("three files appear without any subscriber, with the mode that was asked for", async () => {
  await using rig = await start();
  await rig.written();
  expect((await readdir(rig.folder)).sort()).toEqual(FILES);
  for (const file of FILES) expect((await stat(join(rig.folder, file))).mode & 0o777).toBe(0o600);
  expect(await rig.read("root-cert.pem")).toBe(rig.ca.signer.rootPem.trim());
  rig.expectPair();
});

test("in Kubernetes everybody may read them", async () => {
  await using rig = await start({ mode: 0o644 });
  await rig.written();
  for (const file of FILES) expect((await stat(join(rig.folder, file))).mode & 0o777).toBe(0o644);
});

test("a rotation without subscribers rewrites key and chain together, and leaves the roots alone", async () => {
  await using rig = await start();
  await rig.written();
  const [key, root] = [await rig.read("key.pem"), await stat(join(rig.folder, "root-cert.pem"))];
  await rig.clock.advance(12.5 * HOUR);
  await expect.poll(() => rig.read("key.pem")).not.toBe(key);
  await expect.poll(() => rig.isPair()).toBe(true);
  expect((await stat(join(rig.folder, "root-cert.pem"))).mtimeMs).toBe(root.mtimeMs);
  expect((await readdir(rig.folder)).sort()).toEqual(FILES);
});

test("the roots that are written contain the extra ones, at once and after a rotation", async () => {
  await using rig = await start();
  await rig.written();
  const extra = (await createSigner("extra")).rootPem.trim();
  rig.secrets.setExtraRoots([extra]);
  const both = [rig.ca.signer.rootPem.trim(), extra].sort().join("\n");
  await expect.poll(() => rig.read("root-cert.pem")).toBe(both);
  const key = await rig.read("key.pem");
  await rig.clock.advance(HOUR);
  await expect.poll(() => rig.read("key.pem")).not.toBe(key);
  expect(await rig.read("root-cert.pem")).toBe(both);
});

test("a missing folder is an error in log, status and metric, SDS goes on, and the files come with the folder", async () => {
  await using rig = await start({ folder: "missing" });
  await rig.secrets.get("default");
  await expect
    .poll(() => rig.secrets.status().outputProblem)
    .toMatch(/Cannot write ".*missing.*no such file or directory/);
  expect(rig.world.lines.join("")).toContain("error when output the resource");
  expect(rig.world.metrics.render()).toContain("istio_agent_output_write_failures");
  await mkdir(rig.folder);
  await rig.clock.advance(70_000);
  await rig.written();
  expect(rig.secrets.status().outputProblem).toBeUndefined();
});

test("a full disk keeps the old files valid, and says so", async ({ skip }) => {
  await using rig = await start({ folder: "small" });
  await mkdir(rig.folder);
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", rig.folder], { stdio: "ignore" });
  } catch {
    skip("mounting a small disk needs a right that we do not have");
  }
  try {
    await rig.clock.advance(70_000);
    await rig.written();
    const before = await Promise.all(FILES.map(rig.read));
    await writeFile(join(rig.folder, "ballast"), Buffer.alloc(60_000)).catch(() => undefined);
    await writeFile(join(rig.folder, "ballast2"), Buffer.alloc(60_000)).catch(() => undefined);
    await rig.clock.advance(12.5 * HOUR);
    await expect.poll(() => rig.secrets.status().outputProblem).toMatch(/no space left/);
    expect(await Promise.all(FILES.map(rig.read))).toEqual(before);
    await expect.poll(async () => (await readdir(rig.folder)).filter((file) => file.endsWith(".tmp"))).toEqual([]);
    await rm(join(rig.folder, "ballast"));
    await rm(join(rig.folder, "ballast2"), { force: true });
    await rig.clock.advance(70_000);
    await expect.poll(() => rig.secrets.status().outputProblem).toBeUndefined();
    rig.expectPair();
  } finally {
    await rig.stopWriting();
    execFileSync("umount", [rig.folder]);
  }
});

test("a planted link is replaced, not followed", async () => {
  await using rig = await start({ folder: "planted" });
  const victim = await rig.world.write("victim", "untouched");
  await mkdir(rig.folder);
  await symlink(victim, join(rig.folder, "key.pem"));
  await rig.clock.advance(70_000);
  await rig.written();
  expect(await readFile(victim, "utf8")).toBe("untouched");
  rig.expectPair();
});

test("a file that somebody removed or opened to all comes back as it was", async () => {
  await using rig = await start();
  await rig.written();
  await rm(join(rig.folder, "key.pem"));
  await chmod(join(rig.folder, "cert-chain.pem"), 0o666);
  await rig.clock.advance(70_000);
  await rig.written();
  await expect.poll(async () => (await stat(join(rig.folder, "cert-chain.pem"))).mode & 0o777).toBe(0o600);
  rig.expectPair();
});

test("files that we wrote ourselves are never read back, also behind a link", async () => {
  await using rig = await start({ folder: "link-to-certs", linkTo: "etc/certs" });
  await rig.written();
  expect(rig.secrets.status().certificate?.source).toBe("ca");
  const key = await rig.read("key.pem");
  await rig.clock.advance(12.5 * HOUR);
  await expect.poll(() => rig.read("key.pem")).not.toBe(key);
  expect(rig.secrets.status().certificate?.source).toBe("ca");
});

test("on a VM the first start uses the token, the second the certificate that the first one wrote", async () => {
  const signer = await createSigner("mesh root");
  const tlsCa = await createTestCa("TLS root");
  await using first = await start({ ca: { tlsCa }, behaviour: { kind: "sign", signer, lifeMs: 50 * HOUR } });
  await first.written();
  await using mtls = await startFakeCa({ tlsCa, clientCa: signer.rootPem });
  await first.world.write(PATHS.token, "bogus");
  const certs = { certChain: join(first.folder, "cert-chain.pem"), key: join(first.folder, "key.pem") };
  const second = await first.world.secrets(`localhost:${mtls.port}`, { ca: { clientFiles: certs } });
  await second.get("default");
  expect(mtls.requests).toHaveLength(1);
});

interface Rig extends AsyncDisposable {
  readonly world: World;
  readonly ca: FakeCa;
  readonly clock: MovableClock;
  readonly secrets: Secrets;
  readonly folder: string;
  written(): Promise<void>;
  read(file: string): Promise<string>;
  isPair(): boolean;
  expectPair(): void;
  stopWriting(): Promise<void>;
}

interface RigOptions {
  readonly mode?: number;
  /** Below the working directory; created unless it is given. */
  readonly folder?: string;
  readonly linkTo?: string;
  readonly ca?: FakeCaOptions;
  readonly behaviour?: FakeCa["behaviour"];
}

async function start(how: RigOptions = {}): Promise<Rig> {
  const ca = await startFakeCa(how.ca);
  ca.behaviour = how.behaviour ?? { kind: "sign", lifeMs: 24 * HOUR };
  const world = await createWorld();
  await world.write(PATHS.controlPlaneRoot, ca.tlsRootPem);
  await world.write(PATHS.token, "the.token");
  const folder = join(world.cwd, how.folder ?? "out");
  if (how.folder === undefined) await mkdir(folder);
  if (how.linkTo !== undefined) {
    await mkdir(join(world.cwd, how.linkTo), { recursive: true });
    await symlink(join(world.cwd, how.linkTo), folder);
  }
  const clock = createMovableClock(undefined, 3);
  const options: Partial<SecretsOptions> = {
    clock,
    tokens: world.tokens({ clock }),
    output: { folder, mode: how.mode ?? 0o600 },
  };
  const secrets = await world.secrets(`localhost:${ca.port}`, options);
  const isPair = (): boolean => {
    const publicOf = (...words: string[]): string => execFileSync("openssl", words, { encoding: "utf8" });
    const ofKey = publicOf("pkey", "-in", join(folder, "key.pem"), "-pubout");
    return ofKey === publicOf("x509", "-in", join(folder, "cert-chain.pem"), "-noout", "-pubkey");
  };
  return {
    world,
    ca,
    clock,
    secrets,
    folder,
    read: (file) => readFile(join(folder, file), "utf8"),
    async written() {
      const there = async (): Promise<number> =>
        (await readdir(folder).catch(() => [])).filter((file) => FILES.includes(file)).length;
      await expect.poll(there, { timeout: 10_000 }).toBe(3);
    },
    isPair,
    expectPair: () => expect(isPair()).toBe(true),
    stopWriting: async () => secrets[Symbol.asyncDispose](),
    async [Symbol.asyncDispose]() {
      await world[Symbol.asyncDispose]();
      await ca[Symbol.asyncDispose]();
    },
  };
}
