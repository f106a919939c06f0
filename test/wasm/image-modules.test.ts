import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { describeError } from "../../src/base/index.ts";
import { moduleLayer } from "../../src/wasm/image.ts";
import { type DockerRegistry, findDockerRegistry, startDockerRegistry } from "../support/docker-registry.ts";
import { makeLayer, pushImage, pushIndex, sha256Digest } from "../support/make-image.ts";
import { headerModule } from "../support/wasm-module.ts";
import { cacheRig, getFrom, serveWeb, type WishWords } from "./rig.ts";

// Rows W9 to W22, W28 to W30 and W41 of the reference's behaviour with registries.

const OCI = { mediaType: "application/vnd.oci.image.manifest.v1+json" };
const OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip";
const failure = (work: Promise<unknown>): Promise<string> => work.then(() => "it did not fail", describeError);
const hex = (digest: string): string => digest.slice("sha256:".length);

describe("the layer with the module", () => {
  const layer = (mediaType: string) => ({ mediaType, digest: sha256Digest(mediaType), size: 1 });
  const wasm = layer("application/vnd.module.wasm.content.layer.v1+wasm");
  const config = layer("application/vnd.module.wasm.config.v1+json");
  const docker = "application/vnd.docker.distribution.manifest.v2+json";
  const dockerLayer = layer("application/vnd.docker.image.rootfs.diff.tar.gzip");

  test.each([
    ["of Docker, the last", docker, [layer("other"), dockerLayer], { layer: dockerLayer, isArchive: true }],
    ["of OCI, the last", "", [wasm, layer(OCI_LAYER)], { layer: layer(OCI_LAYER), isArchive: true }],
    ["of an artefact, in any order", OCI.mediaType, [config, wasm], { layer: wasm, isArchive: false }],
  ])("%s", (_, mediaType, layers, wanted) => expect(moduleLayer({ mediaType, layers })).toEqual(wanted));

  test.each([
    [docker, [layer("aaa")], `invalid media type aaa (expect ${dockerLayer.mediaType})`],
    [docker, [], "number of layers must be greater than zero"],
    [
      "",
      [layer("a.tar")],
      /2 errors occurred:\n\t\* could not parse as compat variant: invalid media type a\.tar \(expect .*\)\n\t\* could not parse as oci variant: number of layers must be 2 but got 1$/,
    ],
    ["", [layer("aaa"), layer("aaa")], `could not find the layer of type ${wasm.mediaType}`],
  ])("%j with %j has none", (mediaType, layers, text) =>
    expect(() => moduleLayer({ mediaType, layers })).toThrow(text),
  );
});

describe.runIf((await findDockerRegistry()) !== undefined)("a module of a real registry", () => {
  let registry: DockerRegistry;
  beforeAll(async () => {
    registry = await startDockerRegistry();
  });
  afterAll(() => registry[Symbol.asyncDispose]());

  /** Pushes a module that has its own name in it; resolves with the digest of its manifest. */
  async function push(path: string, tag: string, name: string): Promise<string> {
    const layer = await makeLayer([{ name: "plugin.wasm", content: headerModule("a", name) }], {
      mediaType: OCI_LAYER,
    });
    return (await pushImage(registry.address, path, tag, { layers: [layer], manifest: OCI })).digest;
  }
  const manifests = (path: string): number => registry.log().split(`GET /v2/${path}/manifests/`).length - 1;
  const blobs = (path: string): number => registry.log().split(`GET /v2/${path}/blobs/`).length - 1;

  test("is asked for again as tag, policy and version say, and then only its manifest", async () => {
    await using rig = await cacheRig();
    const digest = await push("a/b", "v1", "one");
    const url = `oci://${registry.address}/a/b`;
    const file = await rig.get(`${url}:v1`, { version: "1" });
    expect(file).toContain(`${hex(digest)}.wasm`);
    expect(await readFile(file)).toEqual(headerModule("a", "one"));
    const asked = manifests("a/b");
    const wishes: [string, WishWords, boolean][] = [
      [`${url}:v1`, { version: "2" }, false],
      [`${url}:v1`, { version: "2", policy: "always" }, false],
      [`${url}:v1`, { version: "3", policy: "if not present" }, false],
      [`${url}:v1`, { version: "4", policy: "always" }, true],
      [`${url}:v1`, { version: "5", policy: "always", checksum: hex(digest) }, false],
      [`${url}@${digest}`, { version: "6", policy: "always" }, false],
      [`${url}:v1@${digest}`, {}, false],
    ];
    let more = 0;
    for (const [at, wish, isAsked] of wishes) {
      if (isAsked) more++;
      expect(await rig.get(at, wish)).toBe(file);
      await expect.poll(() => manifests("a/b") - asked).toBe(more);
    }
    expect(blobs("a/b")).toBe(1);
    expect(await failure(rig.get(`${url}:v1`, { checksum: "0".repeat(64) }))).toBe(
      `module downloaded from ${url}:v1 has checksum ${hex(digest)}, which does not match: ${"0".repeat(64)}`,
    );
  });

  test("`:latest` follows the tag when the WasmPlugin changes, and an index stands for its manifest", async () => {
    await using rig = await cacheRig();
    await push("c/d", "latest", "one");
    const url = `oci://${registry.address}/c/d:latest`;
    const first = await rig.get(url, { version: "1" });
    const layer = await makeLayer([{ name: "x/plugin.wasm", content: headerModule("a", "two") }], {
      mediaType: OCI_LAYER,
    });
    const image = await pushImage(registry.address, "c/d", undefined, { layers: [layer], manifest: OCI });
    const index = await pushIndex(registry.address, "c/d", "latest", [image]);
    expect(await rig.get(url, { version: "1" })).toBe(first);
    expect(await rig.get(url, { version: "2", policy: "if not present" })).toBe(first);
    const second = await rig.get(url, { version: "3" });
    expect(await readFile(second)).toEqual(headerModule("a", "two"));
    expect(second).toContain(hex(image.digest));
    expect(await readFile(await rig.get(`oci://${registry.address}/c/d@${index}`))).toEqual(headerModule("a", "two"));
  });

  test("what the registry changed under its digest is refused, and nothing stays", async () => {
    await using rig = await cacheRig();
    await push("e/f", "v1", "one");
    const url = `oci://${registry.address}/e/f`;
    const layer = await makeLayer([{ name: "other", content: "x" }], { mediaType: OCI_LAYER });
    await pushImage(registry.address, "e/f", "empty", { layers: [layer], manifest: OCI });
    expect(await failure(rig.get(`${url}:empty`))).toBe(
      "could not fetch Wasm binary: plugin.wasm not found in the archive",
    );
    expect(await failure(rig.get(`${url}:none`))).toMatch(/^could not fetch Wasm OCI image: Cannot get the manifest/);
    expect(await failure(rig.get("oci://127.0.0.1:1/A"))).toMatch(/^could not fetch Wasm OCI image: Cannot read/);
    await using small = await cacheRig({ mostBytes: 100 });
    expect(await failure(small.get(`${url}:v1`))).toMatch(/larger than the 100 bytes/);
    expect(await rig.modules()).toEqual([]);
    expect(rig.metric('wasm_remote_fetch_count{result="manifest_failure"}')).toBe("2");
    expect(rig.metric('wasm_remote_fetch_count{result="download_failure"}')).toBe("1");
  });

  test("outlives the registry, unless its file was changed", async () => {
    await using rig = await cacheRig();
    await push("g/h", "v1", "one");
    const url = `oci://${registry.address}/g/h:v1`;
    const file = await rig.get(url);
    await rm(join(registry.storage, "docker/registry/v2/repositories/g/h"), { recursive: true });
    expect(await getFrom(rig.open(), url)).toBe(file);
    await rm(file);
    expect(await failure(getFrom(rig.open(), url))).toMatch(/could not fetch Wasm OCI image/);
  });
});

test.each(["http://localhost:8080/token", "https://169.254.169.254/", "https://metadata.google.internal/"])(
  "a registry whose token service is %s is refused",
  async (realm) => {
    const challenges = [`Bearer realm="https://auth.example.com/",service="x", Bearer realm="${realm}",service="x"`];
    await using server = await serveWeb(
      (_, response) => void response.writeHead(401, { "www-authenticate": challenges }).end(),
    );
    await using rig = await cacheRig();
    expect(await failure(rig.get(`oci://${server.address}/a:1`))).toContain(`rejected unsafe bearer realm: "${realm}"`);
  },
);

test("of a pull secret only the login for the registry counts, and what the machine has does not", async () => {
  const seen: (string | undefined)[] = [];
  await using server = await serveWeb(({ headers }, response) => {
    seen.push(headers.authorization);
    response.writeHead(401, { "www-authenticate": 'Basic realm="x"' }).end();
  });
  await using rig = await cacheRig();
  const auth = Buffer.from("user:pass").toString("base64");
  const secretFor = (host: string): string => JSON.stringify({ auths: { [host]: { auth } } });
  for (const host of ["other.example", server.address, `https://${server.address}/v1/`]) {
    await failure(rig.get(`oci://${server.address}/a:1`, { secret: secretFor(host) }));
  }
  expect(seen).toEqual([undefined, undefined, `Basic ${auth}`, undefined, `Basic ${auth}`]);
});
