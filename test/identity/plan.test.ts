import { getFips } from "node:crypto";
import { symlink } from "node:fs/promises";
import { join } from "node:path";
import { createSecureContext } from "node:tls";
import { expect, test } from "vitest";
import { type IdentitySettings, planIdentity } from "../../src/identity/prepare/index.ts";
import { PATHS } from "../../src/istio/index.ts";
import { createWorld, SETTINGS } from "./world.ts";

const ROOT = "var/run/secrets/istio/root-cert.pem";
const MOUNTED_ROOT = "etc/certs/root-cert.pem";
const WORKLOAD_FILES = Object.values(PATHS.workloadFiles);

test.each<[string, Partial<IdentitySettings>, readonly string[], string | undefined, string | undefined]>([
  ["the usual root", {}, [ROOT], ROOT, ROOT],
  ["a mounted root, which counts for xDS only", {}, [ROOT, MOUNTED_ROOT], ROOT, MOUNTED_ROOT],
  [
    "provider custom, which counts for the CA only",
    { pilotCertProvider: "custom" },
    [ROOT, MOUNTED_ROOT],
    MOUNTED_ROOT,
    MOUNTED_ROOT,
  ],
  ["roots by name", { caRoot: "a", xdsRoot: "b" }, ["a", "b"], "a", "b"],
  ["the system's roots", { caRoot: "SYSTEM", xdsRoot: "SYSTEM" }, [], undefined, undefined],
  ["PROV_CERT", { provCert: "prov" }, ["prov/root-cert.pem"], "prov/root-cert.pem", "prov/root-cert.pem"],
  ["a Kubernetes signer", { pilotCertProvider: "k8s.io/x" }, [ROOT], ROOT, ROOT],
])("root search with %s", async (_case, settings, files, ca, xds) => {
  await using world = await createWorld();
  for (const file of files) await world.write(file, "x");
  const plan = await planIdentity({ ...SETTINGS, ...settings, cwd: world.cwd });
  const source = (path: string | undefined) =>
    path === undefined ? { kind: "system" } : { kind: "file", path: join(world.cwd, path) };
  expect(plan.ca?.roots).toEqual(source(ca));
  expect(plan.xds.roots).toEqual(source(xds));
});

test.each<[string, Partial<IdentitySettings>, readonly string[], RegExp]>([
  ["no root", {}, [], /root CA file for CA does not exist .*var\/run\/secrets\/istio\/root-cert\.pem/],
  ["no root for xDS", { caRoot: "SYSTEM" }, [], /root CA file for XDS does not exist/],
  ["a named root that is a folder", { caRoot: "a" }, ["a/b"], /root CA file for CA does not exist/],
  ["provider none", { pilotCertProvider: "none" }, [ROOT], /configured provider as none/],
  ["PROV_CERT without a root", { provCert: "prov" }, ["prov/key.pem"], /missing a root certificate/],
  [
    "PROV_CERT with file mounts",
    { provCert: "a", isFileMountedCerts: true },
    [ROOT],
    /PROV_CERT and FILE_MOUNTED_CERTS are mutually exclusive/,
  ],
  ["PROV_CERT with GKE", { provCert: "a", caProvider: "GkeWorkloadCertificate" }, [ROOT], /mutually exclusive/],
  [
    "GKE without its files",
    { caProvider: "GkeWorkloadCertificate" },
    [ROOT],
    /GKE workload certificate files .* not present/,
  ],
  ["an unknown provider", { caProvider: "foo" }, [ROOT], /CA provider "foo" not registered/],
  ["Google's endpoint", { caAddress: "meshca.googleapis.com:443" }, [ROOT], /CA provider "GoogleCA" not registered/],
])("the start is refused with %s", async (_case, settings, files, message) => {
  await using world = await createWorld();
  for (const file of files) await world.write(file, "x");
  await expect(planIdentity({ ...SETTINGS, ...settings, cwd: world.cwd })).rejects.toThrow(message);
});

test("CA_ADDR takes the CA elsewhere, and ISTIOD_SAN then counts for xDS only", async () => {
  await using world = await createWorld();
  await world.write(ROOT, "x");
  const settings = { ...SETTINGS, cwd: world.cwd, istiodSan: "y" };
  expect((await planIdentity(settings)).ca).toMatchObject({ endpoint: SETTINGS.discoveryAddress, nameOverride: "y" });
  const elsewhere = await planIdentity({ ...settings, caAddress: "x:1" });
  expect(elsewhere.ca).toMatchObject({ endpoint: "x:1", nameOverride: "" });
  expect(elsewhere.xds).toMatchObject({ endpoint: SETTINGS.discoveryAddress, nameOverride: "y" });
});

test("the notes name the CA and its roots", async () => {
  await using world = await createWorld();
  await world.write(ROOT, "x");
  const { notes } = await planIdentity({ ...SETTINGS, cwd: world.cwd });
  expect(notes).toEqual([
    "CA Endpoint istiod.istio-system.svc:15012, provider Citadel",
    `Using CA istiod.istio-system.svc:15012 cert with certs: ${join(world.cwd, ROOT)}`,
  ]);
});

test("pqc is refused at the start where TLS cannot do it, naming the variable, and not without TLS", async () => {
  await using world = await createWorld();
  await world.write(ROOT, "x");
  const settings = { ...SETTINGS, cwd: world.cwd, compliance: "pqc" };
  const plan = planIdentity(settings).then(() => "can");
  if (hasGroup("X25519MLKEM768")) expect(await plan).toBe("can");
  else await expect(plan).rejects.toThrow("Cannot do COMPLIANCE_POLICY=pqc: no TLS with X25519MLKEM768 here");
  await planIdentity({ ...settings, discoveryAddress: "istiod:15010", isXdsPlaintext: true });
});

test("fips-140-3 outside of FIPS mode is a warning", async () => {
  await using world = await createWorld();
  await world.write(ROOT, "x");
  const warnings = async (compliance: string) =>
    (await planIdentity({ ...SETTINGS, cwd: world.cwd, compliance })).warnings;
  expect(await warnings("fips-140-3")).toEqual(getFips() === 1 ? [] : [expect.stringContaining("not in FIPS mode")]);
  for (const other of ["", "fips-140-2", "weird"]) expect(await warnings(other)).toEqual([]);
});

test("without TLS no root is searched", async () => {
  await using world = await createWorld();
  const discoveryAddress = "istiod:15010";
  const plan = await planIdentity({ ...SETTINGS, cwd: world.cwd, discoveryAddress, isXdsPlaintext: true });
  expect([plan.ca?.isPlaintext, plan.xds.isPlaintext]).toEqual([true, true]);
});

test("workload files count when all three are there", async () => {
  await using world = await createWorld();
  await world.write(ROOT, "x");
  for (const file of WORKLOAD_FILES.slice(1)) await world.write(file, "x");
  expect(await planIdentity({ ...SETTINGS, cwd: world.cwd })).toMatchObject({ isFileMounted: false });
  await world.write(WORKLOAD_FILES[0] ?? "", "x");
  const plan = await planIdentity({ ...SETTINGS, cwd: world.cwd });
  expect(plan).toMatchObject({ isFileMounted: true, ca: undefined });
  expect(plan.files.key).toBe(join(world.cwd, PATHS.workloadFiles.key));
  expect(plan.notes).toEqual(["workload certificate files detected", "Workload is using file mounted certificates"]);
});

test("our own copies of an earlier run are no files that somebody provides", async () => {
  await using world = await createWorld();
  await world.write(ROOT, "x");
  for (const file of WORKLOAD_FILES) await world.write(file, "x");
  const outputCerts = "./var/run/secrets/workload-spiffe-credentials";
  expect(await planIdentity({ ...SETTINGS, cwd: world.cwd, outputCerts })).toMatchObject({ isFileMounted: false });
});

test("GKE's files are used under their own names", async () => {
  await using world = await createWorld();
  await world.write(ROOT, "x");
  for (const file of Object.values(PATHS.gkeFiles)) await world.write(file, "x");
  const plan = await planIdentity({ ...SETTINGS, cwd: world.cwd, caProvider: "GkeWorkloadCertificate" });
  expect(plan.files.certChain).toMatch(/certificates\.pem$/);
  expect(plan).toMatchObject({ ca: undefined, isFileMounted: true });
});

test("file mounts take the client certificate for xDS from the metadata, PROV_CERT from its folder", async () => {
  await using world = await createWorld();
  for (const file of [ROOT, "r", "prov/root-cert.pem"]) await world.write(file, "x");
  const metadataFiles = { certChain: "c", key: "k", root: "r" };
  const mounted = await planIdentity({ ...SETTINGS, cwd: world.cwd, isFileMountedCerts: true, metadataFiles });
  expect(mounted.xds).toMatchObject({
    clientFiles: { certChain: join(world.cwd, "c"), key: join(world.cwd, "k") },
    roots: { path: join(world.cwd, "r") },
  });
  const provided = await planIdentity({ ...SETTINGS, cwd: world.cwd, provCert: "prov", metadataFiles });
  expect(provided.xds.clientFiles?.key).toBe(join(world.cwd, "prov/key.pem"));
  expect(provided.ca?.clientFiles).toEqual(provided.xds.clientFiles);
});

test("another program's SDS needs no CA", async () => {
  await using world = await createWorld();
  await world.write(ROOT, "x");
  expect((await planIdentity({ ...SETTINGS, cwd: world.cwd, hasExternalSds: true })).ca).toBeUndefined();
});

test("a root behind a link counts", async () => {
  await using world = await createWorld();
  const target = await world.write("target", "x");
  await world.write("var/run/secrets/istio/other", "x");
  await symlink(target, join(world.cwd, ROOT));
  expect((await planIdentity({ ...SETTINGS, cwd: world.cwd })).xds.roots).toMatchObject({ kind: "file" });
});

function hasGroup(ecdhCurve: string): boolean {
  try {
    return createSecureContext({ ecdhCurve }) !== undefined;
  } catch {
    return false;
  }
}

test("reality 33: a whole configuration of the user's needs no root, and a warning says what is missing", async () => {
  await using world = await createWorld();
  const settings = { ...SETTINGS, cwd: world.cwd, isControlPlaneOptional: true };
  const plan = await planIdentity(settings);
  expect(plan.ca).toBeUndefined();
  expect(plan.warnings).toEqual([
    `there is no root certificate at ${join(world.cwd, ROOT)}: customConfigFile runs without certificates and configuration from the control plane`,
  ]);
  await world.write(ROOT, "x");
  expect(await planIdentity(settings)).toMatchObject({ ca: { endpoint: SETTINGS.discoveryAddress }, warnings: [] });
  await expect(planIdentity({ ...settings, caRoot: "gone" })).rejects.toThrow(/root CA file for CA does not exist/);
});
