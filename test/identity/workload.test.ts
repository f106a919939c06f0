import { X509Certificate } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { status } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { bindUnix } from "../../src/base/index.ts";
import { type Secrets, type SecretsOptions, serveSds } from "../../src/identity/index.ts";
import { PATHS } from "../../src/istio/index.ts";
import { createSigner, type FakeCa, startFakeCa } from "../support/fake-ca.ts";
import { createMovableClock, type MovableClock } from "../support/movable-clock.ts";
import { connectSds, secretsOf } from "../support/sds-client.ts";
import { createWorld, type World } from "./world.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const UNREACHABLE = { kind: "status", code: status.UNAVAILABLE, details: "away" } as const;

test("twenty requests at once on a cold cache make one request to the CA", async () => {
  await using rig = await start();
  await Promise.all(Array.from({ length: 20 }, (_, index) => rig.secrets.get(index % 2 === 0 ? "default" : "ROOTCA")));
  expect(rig.ca.requests).toHaveLength(1);
});

test("the certificate is there before anyone asks, and then comes from the cache", async () => {
  await using rig = await start();
  await rig.issued(1);
  const [first, roots, again] = [await rig.leaf(), await rig.roots(), await rig.leaf()];
  expect(first.serialNumber).toBe(again.serialNumber);
  expect(roots).toBe(rig.ca.signer.rootPem.trim());
  expect(rig.world.lines.join("")).toContain("returned workload certificate from cache");
  expect(rig.world.lines.join("")).toContain("returned workload trust anchor from cache");
  expect(rig.ca.requests).toHaveLength(1);
});

test("rotation comes at its time without anybody listening, and is told to who listens", async () => {
  await using rig = await start();
  await rig.issued(1);
  const updates = rig.count("default");
  const first = await rig.leaf();
  await rig.clock.advance(11.9 * HOUR);
  expect(rig.ca.requests).toHaveLength(1);
  await rig.clock.advance(0.2 * HOUR);
  await rig.issued(2);
  await expect.poll(() => updates()).toBe(1);
  expect((await rig.leaf()).serialNumber).not.toBe(first.serialNumber);
});

test("the old certificate stays served while the CA is away for three rotations, then all is well again", async () => {
  await using rig = await start({ ttlMs: HOUR });
  await rig.issued(1);
  const old = await rig.leaf();
  rig.ca.behaviour = UNREACHABLE;
  await rig.clock.advance(3 * 30 * MINUTE);
  expect(rig.ca.requests.length).toBeGreaterThan(20);
  expect((await rig.leaf()).serialNumber).toBe(old.serialNumber);
  expect(rig.secrets.status().troubles).toEqual([
    { text: expect.stringMatching(/the certificate cannot be renewed: .*away/), sinceMs: expect.any(Number) },
  ]);
  const [trouble] = rig.secrets.status().troubles;
  expect(rig.clock.now() - (trouble?.sinceMs ?? 0)).toBeGreaterThan(30 * MINUTE); // the first failure, not the last
  expect(rig.world.lines.join("")).toMatch(/error\tcache\tfailed to rotate certificate, the old one stays in use/);
  expect(rig.world.metrics.render()).toMatch(/cert_expiry_seconds{resource_name="default"} -\d+/);
  rig.ca.behaviour = { kind: "sign", lifeMs: 10 * HOUR };
  await rig.clock.advance(2 * MINUTE);
  await expect.poll(async () => (await rig.leaf()).serialNumber).not.toBe(old.serialNumber);
  expect(rig.secrets.status().troubles).toEqual([]);
});

test("requests to a CA that is away thin out to one a minute", async () => {
  await using rig = await start({ behaviour: { kind: "status", code: status.UNAUTHENTICATED, details: "no" } });
  await rig.clock.advance(10 * MINUTE);
  const early = rig.ca.requests.length;
  await rig.clock.advance(10 * MINUTE);
  expect(early).toBeLessThan(40);
  expect(rig.ca.requests.length - early).toBeLessThan(25);
  expect(rig.ca.requests.length - early).toBeGreaterThan(5);
  expect(rig.world.lines.join("")).toContain("failed to sign CSR");
});

test("a CA that denies for a while is recovered from without a restart", async () => {
  await using rig = await start({ behaviour: { kind: "status", code: status.PERMISSION_DENIED, details: "not yet" } });
  await expect(rig.secrets.get("default")).rejects.toThrow("not yet");
  const text = expect.stringContaining("there is no certificate yet");
  expect(rig.secrets.status().troubles).toEqual([{ text, sinceMs: expect.any(Number) }]);
  rig.ca.behaviour = { kind: "sign" };
  await rig.clock.advance(2 * MINUTE);
  await rig.leaf();
  expect(rig.secrets.status().certificate).toMatchObject({
    source: "ca",
    subjectAltName: "URI:spiffe://td/ns/ns/sa/sa",
  });
});

test("roots for the connection that are corrected on disk are tried at once", async () => {
  await using world = await createWorld();
  await using ca = await startFakeCa();
  await world.write(PATHS.controlPlaneRoot, "half a certifi");
  const clock = createMovableClock(); // nobody moves it: no wait that could end a failure by itself comes to its end
  const secrets = await world.secrets(`localhost:${ca.port}`, { clock });
  await expect(secrets.get("default")).rejects.toThrow("no certificate in");
  await world.write(PATHS.controlPlaneRoot, ca.tlsRootPem);
  await expect.poll(() => secrets.status().certificate, { timeout: 10_000 }).toBeDefined();
});

test("a clock that jumps a day ahead leads to a new certificate within a minute", async () => {
  await using rig = await start();
  await rig.issued(1);
  rig.ca.behaviour = { kind: "sign", lifeMs: 48 * HOUR };
  rig.clock.jump(24 * HOUR);
  await rig.clock.advance(MINUTE);
  await rig.issued(2);
});

test("a clock that goes back an hour neither spins nor stops rotation", async () => {
  await using rig = await start();
  await rig.issued(1);
  rig.clock.jump(-HOUR);
  await rig.clock.advance(12 * HOUR);
  expect(rig.ca.requests).toHaveLength(1);
  await rig.clock.advance(1.1 * HOUR);
  await rig.issued(2);
});

test("a grace ratio of one asks the CA at most every half minute", async () => {
  await using rig = await start({ options: { rotation: { ratio: 1, jitter: 0 } } });
  await rig.clock.advance(10 * MINUTE);
  expect(rig.ca.requests.length).toBeGreaterThan(10);
  expect(rig.ca.requests.length).toBeLessThanOrEqual(21);
});

test("our clock two days ahead of the CA's does not spin", async () => {
  await using rig = await start({ clockStart: Date.now() + 48 * HOUR });
  await rig.clock.advance(10 * MINUTE);
  expect(rig.ca.requests.length).toBeLessThan(40);
  await expect(rig.secrets.get("default")).rejects.toThrow(/it ended at .*, our clock says/);
});

test("our clock ahead of the CA's is said, and the certificate is served", async () => {
  await using rig = await start({ clockStart: Date.now() + HOUR });
  await rig.issued(1);
  await rig.leaf();
  expect(rig.world.lines.join("")).toMatch(/our clock and the CA's disagree\taheadSeconds=3[67]\d\d/);
});

test("hostile 14: another identity than we asked for is served if a setting says so, and it is said", async () => {
  const identity = { trustDomain: "td", namespace: "ns", serviceAccount: "sa", isAnyTaken: true };
  await using rig = await start({
    behaviour: { kind: "sign", uri: "spiffe://other.domain/ns/ns/sa/sa" },
    options: { identity },
  });
  await rig.leaf();
  expect(rig.world.lines.join("")).toMatch(/the CA issued another identity than requested\tasked=spiffe:\/\/td/);
});

test.each([
  ["service account", { trustDomain: "td", namespace: "ns", serviceAccount: "" }],
  ["namespace", { trustDomain: "td", namespace: "", serviceAccount: "sa" }],
])("reality 36: who does not know its %s asks for no identity, and any is the right one", async (_name, identity) => {
  await using rig = await start({ options: { identity } });
  await rig.leaf();
  expect(rig.world.lines.filter((line) => line.includes("\twarn\t"))).toEqual([]);
});

test("a root that changes with a rotation is told once, before the certificate", async () => {
  await using rig = await start();
  await rig.issued(1);
  const told: string[] = [];
  for (const name of ["default", "ROOTCA"]) rig.secrets.subscribe(name, () => void told.push(name));
  const next = await createSigner("next root");
  rig.ca.behaviour = { kind: "sign", signer: next, lifeMs: 36 * HOUR };
  await rig.clock.advance(12.1 * HOUR);
  await expect.poll(() => told).toEqual(["ROOTCA", "default"]);
  expect(await rig.roots()).toBe(next.rootPem.trim());
  await rig.clock.advance(12.1 * HOUR);
  await expect.poll(() => told).toEqual(["ROOTCA", "default", "default"]);
  expect(rig.world.lines.join("").split("Root cert has changed")).toHaveLength(3);
});

test("a bundle of old and new roots is served whole, each root once", async () => {
  const [one, other] = [await createSigner("a root"), await createSigner("a second root")];
  const both = { rootPem: `${one.rootPem}\n${other.rootPem}`, sign: one.sign };
  await using rig = await start({ behaviour: { kind: "sign", signer: both } }); // from the first request on
  expect(await rig.roots()).toBe([one.rootPem.trim(), other.rootPem.trim()].sort().join("\n"));
});

test("extra roots are added at once, told once, and followed by a new certificate a little later", async () => {
  await using rig = await start();
  await rig.issued(1);
  const [workload, roots] = [rig.count("default"), rig.count("ROOTCA")];
  const extra = (await createSigner("extra")).rootPem;
  rig.secrets.setExtraRoots([extra, `# a comment\n${extra}\n`, rig.ca.signer.rootPem]);
  expect(roots()).toBe(1);
  expect(workload()).toBe(0);
  expect(await rig.roots()).toBe([rig.ca.signer.rootPem.trim(), extra.trim()].sort().join("\n"));
  const old = await rig.leaf();
  await rig.clock.advance(4_000);
  expect((await rig.leaf()).serialNumber).toBe(old.serialNumber);
  await rig.clock.advance(27_000);
  await rig.issued(2);
  await expect.poll(() => workload()).toBe(1);
  rig.secrets.setExtraRoots([extra, `# a comment\n${extra}\n`, rig.ca.signer.rootPem]);
  await rig.clock.advance(MINUTE);
  expect([roots(), rig.ca.requests.length]).toEqual([1, 2]);
});

test("after a rotation that new roots brought forward, the next one keeps its full distance", async () => {
  await using rig = await start();
  await rig.issued(1);
  await rig.clock.advance(11 * HOUR);
  rig.secrets.setExtraRoots([(await createSigner("extra")).rootPem]);
  await rig.clock.advance(MINUTE);
  await rig.issued(2);
  await rig.clock.advance(2 * HOUR); // past the moment of the first certificate's rotation
  expect(rig.ca.requests).toHaveLength(2);
});

test("names that are none are refused, never answered with the workload's key", async () => {
  await using rig = await start();
  for (const name of [
    "foo",
    "file-root:a~b",
    "file-cert:a",
    "file-cert:~k",
    "file-cert:c~",
    "file-root:",
    "file:root",
    "",
    "FILE-ROOT:x",
    "file-cert:a~b~c",
  ]) {
    await expect(rig.secrets.get(name)).rejects.toMatchObject({ code: "SECRET_UNKNOWN" });
  }
});

test("a stream of Envoy that comes back during a rotation gets one of both certificates and then the new one", async () => {
  await using rig = await start();
  await rig.issued(1);
  await using socket = await bindUnix(join(rig.world.cwd, "s"));
  const { log, metrics } = rig.world;
  await using _sds = await serveSds({ socket, secrets: rig.secrets, log, metrics });
  await using client = connectSds(socket.address);
  const before = client.open();
  before.ask("default");
  await before.response(0);
  const advancing = rig.clock.advance(12.1 * HOUR);
  before.cancel();
  const after = client.open();
  after.ask("default");
  await after.response(0);
  await advancing;
  await rig.issued(2);
  const newest = await rig.leaf();
  await expect
    .poll(() => {
      const [secret] = secretsOf(after.responses.at(-1) ?? after.responses[0] ?? (undefined as never));
      const chain = secret?.type.case === "tlsCertificate" ? secret.type.value.certificateChain?.specifier.value : "";
      return new X509Certificate(chain as Uint8Array).serialNumber;
    })
    .toBe(newest.serialNumber);
});

test("no key and no token appears in the log or the status", async () => {
  await using rig = await start({ level: "debug" });
  const item = await rig.secrets.get("default");
  if (item.kind !== "certificate") throw new Error("no certificate");
  const key = item.key.revealText().split("\n")[1] ?? "";
  const seen = rig.world.lines.join("") + JSON.stringify(rig.secrets.status()) + JSON.stringify(item);
  expect(key.length).toBeGreaterThan(20);
  expect(seen).not.toContain(key);
  expect(seen).not.toContain("the.token");
});

test("a vanished token is a trouble that the status names", async () => {
  await using rig = await start();
  await rig.issued(1);
  await rm(join(rig.world.cwd, PATHS.token));
  await rig.clock.advance(2 * MINUTE);
  const text = expect.stringContaining("the file does not exist");
  await expect.poll(() => rig.secrets.status().troubles).toEqual([{ text, sinceMs: expect.any(Number) }]);
});

test("a stop while the CA is being asked is no error", async () => {
  await using rig = await start({ behaviour: { kind: "silent" } });
  await expect.poll(() => rig.ca.requests.length).toBe(1);
  const asked = rig.secrets.get("default").catch((error: Error) => error);
  await rig.secrets[Symbol.asyncDispose]();
  expect(await asked).toMatchObject({ code: "STOPPED" });
  expect(rig.world.lines.filter((line) => /\t(warn|error)\t/.test(line) && !line.includes("OS CA Cert"))).toEqual([]);
});

interface Rig extends AsyncDisposable {
  readonly ca: FakeCa;
  readonly world: World;
  readonly clock: MovableClock;
  readonly secrets: Secrets;
  leaf(): Promise<X509Certificate>;
  roots(): Promise<string>;
  /** Waits until the CA has been asked so many times and the answer is stored. */
  issued(count: number): Promise<void>;
  count(name: string): () => number;
}

interface RigOptions {
  readonly behaviour?: FakeCa["behaviour"];
  readonly ttlMs?: number;
  readonly clockStart?: number;
  readonly level?: "debug";
  readonly options?: Partial<SecretsOptions>;
}

async function start(how: RigOptions = {}): Promise<Rig> {
  const ca = await startFakeCa();
  ca.behaviour = how.behaviour ?? { kind: "sign", ...(how.ttlMs === undefined ? {} : { lifeMs: how.ttlMs }) };
  const world = await createWorld(how.level);
  await world.write(PATHS.controlPlaneRoot, ca.tlsRootPem);
  await world.write(PATHS.token, "the.token");
  const clock = createMovableClock(how.clockStart, 2);
  const secrets = await world.secrets(`localhost:${ca.port}`, {
    clock,
    tokens: world.tokens({ clock }),
    ...how.options,
  });
  const get = async (name: string) => {
    const item = await secrets.get(name);
    return item.kind === "certificate" ? item.certChain : item.roots;
  };
  return {
    ca,
    world,
    clock,
    secrets,
    leaf: async () => new X509Certificate(await get("default")),
    roots: async () => (await get("ROOTCA")).toString(),
    async issued(count) {
      const lines = (): number =>
        world.lines.filter((line) => line.includes("generated new workload certificate")).length;
      await expect.poll(lines, { timeout: 10_000 }).toBe(count);
    },
    count(name) {
      let told = 0;
      secrets.subscribe(name, () => told++);
      return () => told;
    },
    async [Symbol.asyncDispose]() {
      await world[Symbol.asyncDispose]();
      await ca[Symbol.asyncDispose]();
    },
  };
}
