import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { appendFile, mkdir, readdir, readFile, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { describeError } from "../../src/base/index.ts";
import { makeTar } from "../support/make-image.ts";
import { createTestCa } from "../support/test-ca.ts";
import { headerModule } from "../support/wasm-module.ts";
import { cacheRig, getFrom, serveWeb, type WishWords } from "./rig.ts";

// Rows W1 to W27, W39 and W40 of the reference's behaviour over HTTP.

const MODULE = headerModule("a", "b");
const OTHER = headerModule("a", "other");
const sha256 = (bytes: Buffer | string): string => createHash("sha256").update(bytes).digest("hex");
const serving = (bytes: Buffer) => serveWeb((_, response) => void response.end(bytes));
const failure = (work: Promise<unknown>): Promise<string> => work.then(() => "it did not fail", describeError);

describe("a module over HTTP", () => {
  test("is in a file named by URL and checksum, and is asked for once", async () => {
    await using rig = await cacheRig();
    await using server = await serving(MODULE);
    const url = `${server.origin}/plugin.wasm?v=1`;
    const file = await rig.get(url, { checksum: sha256(MODULE) });
    expect(file).toBe(join(rig.folder, sha256(url), `${sha256(MODULE)}.wasm`));
    expect(await readFile(file)).toEqual(MODULE);
    expect(await rig.get(url, { checksum: sha256(MODULE).toUpperCase() })).toBe(file);
    expect(await rig.get(url)).toBe(file);
    expect(server.asked).toHaveLength(1);
    expect(rig.metric('wasm_cache_lookup_count{hit="true"}')).toBe("2");
    expect(rig.metric("wasm_cache_entries")).toBe("1");
  });

  test("is asked for once for any number of plugins at the same time, also when they ask again", async () => {
    await using rig = await cacheRig();
    await using server = await serving(MODULE);
    const all = Array.from({ length: 8 }, (_, at) => `ns.plugin-${at}`);
    const ask = (resource: string) => rig.get(`${server.origin}/a`, { resource, version: "1", policy: "always" });
    await Promise.all(all.map(ask));
    await Promise.all(all.map(ask));
    expect(server.asked).toHaveLength(1);
  });

  test("leaves no login on disk and in no text", async () => {
    await using rig = await cacheRig();
    await using server = await serving(MODULE);
    await rig.get(`http://user:s3cret@${server.address}/a`);
    expect(server.asked).toEqual(["/a"]);
    for (const name of await readdir(rig.folder, { recursive: true })) {
      const text = await readFile(join(rig.folder, name), "latin1").catch(() => "");
      expect(text).not.toContain("s3cret");
    }
    expect(await failure(rig.get("http://user:s3cret@127.0.0.1:port/a"))).toMatch(/^fail to parse(?!.*s3cret)/);
    await rig.get(`http://user:pa%zzs@${server.address}/b`);
  });

  test("is asked for again as policy and version say", async () => {
    await using rig = await cacheRig();
    await using server = await serving(MODULE);
    const wishes: [path: string, WishWords, asked: number][] = [
      ["/a", { version: "1" }, 1],
      ["/a", { version: "2" }, 1],
      ["/a", { version: "3", policy: "if not present" }, 1],
      ["/a", { version: "3", policy: "always" }, 1],
      ["/a", { version: "4", policy: "always" }, 2],
      ["/b", { version: "4", policy: "always" }, 3],
      ["/b", { version: "5", policy: "always", checksum: sha256(MODULE) }, 3],
    ];
    for (const [path, wish, asked] of wishes) {
      await rig.get(server.origin + path, wish);
      expect(server.asked).toHaveLength(asked);
    }
  });

  test.each<[string, (bytes: Buffer) => Buffer | Promise<Buffer>]>([
    ["as it is", (bytes) => bytes],
    ["in gzip", (bytes) => gzipSync(bytes)],
    [
      "in a tar, under any name",
      (bytes) =>
        makeTar([
          { name: "folder/", type: "directory" },
          { name: "x", content: bytes },
        ]),
    ],
    ["in a tar in gzip", async (bytes) => gzipSync(await makeTar([{ name: "x", content: bytes }]))],
  ])("%s, its checksum is that of the module", async (_, pack) => {
    await using rig = await cacheRig();
    await using server = await serving(await pack(MODULE));
    expect(await readFile(await rig.get(server.origin, { checksum: sha256(MODULE) }))).toEqual(MODULE);
  });

  test.each<[string, Buffer, RegExp, string]>([
    [
      "a page",
      Buffer.from("<html></html>"),
      /fetched Wasm binary from http:.* is invalid: it does not begin as/,
      "fetch_failure",
    ],
    ["nothing", Buffer.alloc(0), /is invalid: .*it is empty/, "fetch_failure"],
    ["half a module", MODULE.subarray(0, 100), /is invalid: it is cut off/, "fetch_failure"],
    ["half a gzip", gzipSync(MODULE).subarray(0, 50), /unexpected end of file/, "download_failure"],
    [
      "an empty tar",
      Buffer.concat([Buffer.alloc(257), Buffer.from("ustar"), Buffer.alloc(762)]),
      /./,
      "download_failure",
    ],
  ])("%s is refused, and nothing of it stays", async (_, bytes, why, result) => {
    await using rig = await cacheRig({ attempts: 1 });
    await using server = await serving(bytes);
    expect(await failure(rig.get(server.origin, { checksum: sha256(bytes) }))).toMatch(why);
    expect(await rig.modules()).toEqual([]);
    expect(rig.metric(`wasm_remote_fetch_count{result="${result}"}`)).toBe("1");
  });

  test("another checksum is refused, and what was there stays", async () => {
    await using rig = await cacheRig();
    await using server = await serveWeb(({ url }, response) => void response.end(url === "/a" ? MODULE : OTHER));
    const file = await rig.get(`${server.origin}/a`);
    for (const checksum of ["wrongchecksum", "../../x", sha256(MODULE)]) {
      const text = await failure(rig.get(`${server.origin}/b`, { checksum }));
      expect(text).toBe(
        `module downloaded from ${server.origin}/b has checksum ${sha256(OTHER)}, which does not match: ${checksum}`,
      );
    }
    expect(await rig.modules()).toHaveLength(1);
    expect(await readFile(file)).toEqual(MODULE);
  });

  test("what is larger than allowed is refused with the variable's name, packed or not", async () => {
    await using rig = await cacheRig({ mostBytes: 200, attempts: 3 });
    await using server = await serveWeb(({ url }, response) => {
      response.end(url === "/packed" ? gzipSync(Buffer.alloc(100_000)) : Buffer.alloc(300));
    });
    for (const path of ["/packed", "/plain"]) {
      expect(await failure(rig.get(server.origin + path))).toMatch(
        /after 1 attempts.*200 bytes of ISTIO_WASM_MAX_BINARY_SIZE_BYTES/,
      );
    }
  });

  test("a failing server and a cut connection are tried again; a refusal is not", async () => {
    await using rig = await cacheRig({ attempts: 3 });
    const answers = [500, 0, 200];
    await using server = await serveWeb((_, response) => {
      const status = answers.shift() ?? 501;
      response.writeHead(status || 200, { "content-length": MODULE.length });
      if (status === 0) response.write(MODULE.subarray(0, 9), () => response.destroy());
      else response.end(status === 200 ? MODULE : undefined);
    });
    expect(await readFile(await rig.get(`${server.origin}/a`))).toEqual(MODULE);
    expect(server.asked).toHaveLength(3);
    const failed =
      "wasm module download failed after 1 attempts, last error: wasm module download request failed: status code 501";
    expect(await failure(rig.get(`${server.origin}/b`))).toBe(failed);
    answers.push(503, 503, 503);
    expect(await failure(rig.get(`${server.origin}/c`))).toMatch(/after 3 attempts, last error: .*status code 503$/);
    expect(await failure(getFrom(rig.open({ attempts: 0 }), `${server.origin}/d`))).toMatch(/after 0 attempts/);
  });

  test("every wait has its limit: of an attempt, of the whole, of the stream", async () => {
    await using rig = await cacheRig({ attempts: 1, requestTimeoutMs: 50 });
    await using server = await serveWeb((_, response) => void response.write(MODULE.subarray(0, 9)));
    expect(await failure(rig.get(server.origin))).toMatch(/longer than 50 ms \(WASM_HTTP_REQUEST_TIMEOUT\)/);
    const patient = rig.open({});
    expect(await failure(getFrom(patient, server.origin, { timeoutMs: 50 }))).toMatch(/no module after 50 ms/);
    const over = new AbortController();
    const waiting = failure(getFrom(patient, server.origin, { stop: over.signal }));
    await expect.poll(() => server.asked.length).toBe(3);
    over.abort(new Error("the stream is over"));
    expect(await waiting).toBe("the stream is over");
  });

  test("one download serves all who wait, also when the first of them leaves", async () => {
    await using rig = await cacheRig();
    let finish = (): void => undefined;
    await using server = await serveWeb((_, response) => {
      response.write(MODULE.subarray(0, 9));
      finish = () => void response.end(MODULE.subarray(9));
    });
    const over = new AbortController();
    const [first, ...others] = [over.signal, ...Array.from({ length: 9 }, () => new AbortController().signal)].map(
      (stop) => rig.get(server.origin, { stop }),
    );
    const left = failure(first as Promise<string>);
    await expect.poll(() => server.asked.length).toBe(1);
    over.abort(new Error("gone"));
    expect(await left).toBe("gone");
    finish();
    expect(new Set(await Promise.all(others)).size).toBe(1);
    expect(server.asked).toHaveLength(1);
  });

  test.each([
    ["foo://abc", "unsupported Wasm module downloading URL scheme: foo"],
    ["no url", 'fail to parse Wasm module fetch url: "no url" is no URL'],
  ])("%s is refused", async (url, text) => {
    await using rig = await cacheRig();
    expect(await failure(rig.get(url))).toBe(text);
  });
});

describe("the folder of modules", () => {
  test("serves the next agent, when a file is still what was fetched", async () => {
    await using rig = await cacheRig({ attempts: 1 });
    const server = await serving(MODULE);
    const url = `${server.origin}/a`;
    const file = await rig.get(url, { version: "1", policy: "always" });
    await server[Symbol.asyncDispose]();
    const wish = { version: "1", policy: "always" } as const;
    expect(await getFrom(rig.open(), url, wish)).toBe(file);
    expect(await failure(getFrom(rig.open(), url, { ...wish, version: "2" }))).toMatch(/download failed/);
    await appendFile(file, "x");
    expect(await failure(getFrom(rig.open(), url, wish))).toMatch(/download failed/);
    expect(await failure(getFrom(rig.open(), url, { ...wish, checksum: sha256(MODULE) }))).toMatch(/download failed/);
  });

  test("a module that nobody uses is removed with its records; one in use, a young one, and other files stay", async () => {
    await using rig = await cacheRig();
    await using server = await serveWeb(({ url }, response) => void response.end(headerModule("a", url ?? "")));
    const files = [];
    for (const path of ["/old", "/used", "/young"]) files.push(await rig.get(server.origin + path));
    const [old = "", used = "", young = ""] = files;
    await writeFile(join(rig.folder, "other"), "");
    await mkdir(join(rig.folder, "0".repeat(64)));
    const abandoned = join(rig.folder, "0".repeat(64), "1.tmp");
    await writeFile(abandoned, "");
    const long = new Date(Date.now() - 7_200_000);
    for (const file of [old, used, abandoned]) await utimes(file, long, long);
    const cache = rig.open({ expiryMs: 3_600_000, isInUse: (file) => file === used, purgeIntervalMs: 10 });
    await expect.poll(() => rig.modules()).toHaveLength(2);
    expect((await rig.modules()).map((name) => join(rig.folder, name)).sort()).toEqual([used, young].sort());
    await expect.poll(() => readFile(abandoned).catch(() => undefined)).toBeUndefined();
    expect(await getFrom(cache, `${server.origin}/old`)).toBe(old);
    expect(server.asked.filter((path) => path === "/old")).toHaveLength(2);
  });

  test("what nobody used for long serves the next agent, which looks for such only after an interval", async () => {
    await using rig = await cacheRig();
    await using server = await serving(MODULE);
    const file = await rig.get(server.origin);
    const long = new Date(Date.now() - 7_200_000);
    await utimes(file, long, long);
    expect(await getFrom(rig.open({ expiryMs: 3_600_000 }), server.origin)).toBe(file);
    expect(server.asked).toHaveLength(1);
  });

  test("with intervals beyond what a timer takes nothing is removed", async () => {
    await using rig = await cacheRig({ expiryMs: 1, purgeIntervalMs: 2 ** 32 });
    await using server = await serving(MODULE);
    await rig.get(server.origin, { timeoutMs: 2 ** 32 });
    await using other = await cacheRig({ expiryMs: 1, purgeIntervalMs: 1 });
    await other.get(server.origin);
    await expect.poll(() => other.modules()).toEqual([]); // meanwhile
    expect(await rig.modules()).toHaveLength(1);
  });

  test("with the shortest times of all everything goes", async () => {
    await using rig = await cacheRig({ expiryMs: 1, purgeIntervalMs: 1 });
    await using server = await serving(MODULE);
    await rig.get(server.origin);
    await expect.poll(() => rig.modules()).toEqual([]);
    await expect.poll(() => rig.metric("wasm_cache_entries")).toBe("0");
  });

  test("that cannot be written is the reason, and is not tried again", async () => {
    await using rig = await cacheRig();
    await using server = await serving(MODULE);
    await writeFile(join(rig.folder, "file"), "");
    const cache = rig.open({ folder: join(rig.folder, "file") });
    expect(await failure(getFrom(cache, server.origin))).toMatch(
      /after 1 attempts, last error: Cannot write a Wasm module to .* is no folder/,
    );
    expect(server.asked).toHaveLength(1);
  });
});

test("a full disk is the reason, and nothing half written stays", async ({ skip }) => {
  await using rig = await cacheRig();
  await using server = await serving(Buffer.concat([MODULE, Buffer.alloc(200_000)]));
  const folder = join(rig.folder, "small");
  await mkdir(folder);
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], { stdio: "ignore" });
  } catch {
    skip("mounting a small disk needs a right that we do not have");
  }
  try {
    expect(await failure(getFrom(rig.open({ folder }), server.origin))).toMatch(/Cannot write .*ENOSPC/);
    expect((await readdir(folder, { recursive: true })).filter((name) => name.includes("."))).toEqual([]);
  } finally {
    execFileSync("umount", [folder]);
  }
});

test("a cache that closes waits until nothing of a download is left", async () => {
  await using rig = await cacheRig();
  await using server = await serveWeb((_, response) => void response.write(MODULE));
  const cache = rig.open();
  const failed = failure(getFrom(cache, server.origin));
  const temporary = async () =>
    (await readdir(rig.folder, { recursive: true })).filter((name) => name.endsWith(".tmp"));
  await expect.poll(temporary).toHaveLength(1);
  await cache[Symbol.asyncDispose]();
  expect(await temporary()).toEqual([]);
  expect(await failed).toContain("the agent stops");
});

test("a module that has the word of a tar where a tar has it is a module", async () => {
  await using rig = await cacheRig();
  const section = Buffer.alloc(400); // one of its own kind, with a name of one byte
  section.set([0, 0x8d, 0x03, 1, 0x61]);
  section.write("ustar", 257 - 8, "latin1");
  const module = Buffer.concat([MODULE.subarray(0, 8), section]);
  await using server = await serving(module);
  expect(await readFile(await rig.get(server.origin))).toEqual(module);
});

test("a module of endless sections is refused soon", async () => {
  await using rig = await cacheRig({ mostBytes: 2 ** 24 });
  const sections = Buffer.concat([MODULE.subarray(0, 8), Buffer.alloc(2 ** 22)]);
  await using server = await serving(sections);
  expect(await failure(rig.get(server.origin))).toContain("it has more than 10000 sections");
});

describe("where modules are not fetched from", () => {
  test("a blocked range, by address, name and redirect", async () => {
    await using rig = await cacheRig({ blocked: ["127.0.0.0/8", "nonsense"], attempts: 1 });
    await using server = await serving(MODULE);
    const { port } = new URL(server.origin);
    for (const url of [server.origin, `http://localhost:${port}/`, `http://[::ffff:127.0.0.1]:${port}/`]) {
      expect(await failure(rig.get(url))).toMatch(/is blocked: Wasm modules are not fetched from there/);
    }
    expect(server.asked).toEqual([]);
  });

  test("a redirect is followed, but not to a cloud's metadata", async () => {
    await using rig = await cacheRig({ attempts: 1 });
    await using server = await serveWeb(({ url }, response) => {
      const to = url === "/bad" ? "http://169.254.169.254/latest" : "/module";
      if (url === "/module") response.end(MODULE);
      else response.writeHead(302, { location: to }).end();
    });
    expect(await readFile(await rig.get(`${server.origin}/good`))).toEqual(MODULE);
    expect(await failure(rig.get(`${server.origin}/bad`))).toMatch(/connection to 169\.254\.169\.254 is blocked/);
  });

  test("a server with an unknown root, but for one that is named as insecure", async () => {
    const tls = await (await createTestCa()).issue({ ips: ["127.0.0.1"] });
    await using server = await serveWeb((_, response) => void response.end(MODULE), tls);
    await using rig = await cacheRig({ attempts: 1 });
    expect(await failure(rig.get(server.origin))).toMatch(/certificate/);
    for (const insecure of ["*", server.address])
      expect(await getFrom(rig.open({ insecure }), `${server.origin}/${insecure}`)).toBeTruthy();
    expect(await failure(getFrom(rig.open({ insecure: "127.0.0.1" }), `${server.origin}/x`))).not.toBe(
      "it did not fail",
    );
  });
});
