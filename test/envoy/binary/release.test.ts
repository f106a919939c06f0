import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { describeError } from "../../../src/base/index.ts";
import type { FetchOptions } from "../../../src/envoy/binary/fetch-envoy.ts";
import { fetchEnvoy } from "../../../src/envoy/binary/index.ts";
import { envoyScript, sha256 } from "../../support/fake-pip.ts";

const never = new AbortController().signal;
const EXECUTABLE = Buffer.from(envoyScript("9.9.9"));
const ASSET = "/v9.9.9/envoy-9.9.9-linux-x86_64";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-release-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A stand-in for the release page, which pins what it hands out. */
async function releasePage(listener: RequestListener) {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const hash = sha256(EXECUTABLE);
  const pinned = { file: "envoy", bytes: EXECUTABLE.length, sha256: hash, executableSha256: hash };
  const options: FetchOptions = {
    env: { HOME: folder },
    version: "9.9.9",
    platform: "linux-x64",
    source: "github",
    lock: { default: "9.9.9", versions: { "9.9.9": { "linux-x64": { github: pinned } } } },
    releasesUrl: url,
    onNote: () => undefined,
  };
  return {
    options,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const failureOf = (work: Promise<unknown>): Promise<string> => work.then(() => "it did not fail", describeError);

test("the executable comes through redirects, verified, with progress", async () => {
  await using page = await releasePage((request, response) => {
    if (request.url === ASSET) response.writeHead(302, { location: "/objects/1" }).end("moved");
    else if (request.url === "/objects/1") response.end(EXECUTABLE);
    else response.writeHead(404).end();
  });
  const seen: (readonly [number, number | undefined])[] = [];
  const onProgress = (bytes: number, total: number | undefined) => void seen.push([bytes, total]);
  const { path, origin } = await fetchEnvoy({ ...page.options, onProgress }, never);
  expect(origin).toBe("fetched");
  expect((await readFile(path)).equals(EXECUTABLE)).toBe(true);
  expect(seen.at(-1)).toEqual([EXECUTABLE.length, EXECUTABLE.length]);
});

test("arm64 has its own file", async () => {
  const asked: (string | undefined)[] = [];
  await using page = await releasePage((request, response) => {
    asked.push(request.url);
    response.writeHead(404).end();
  });
  const options: FetchOptions = { ...page.options, platform: "linux-arm64", isUnlocked: true };
  expect(await failureOf(fetchEnvoy(options, never))).toContain("answered 404");
  expect(asked).toEqual(["/v9.9.9/envoy-9.9.9-linux-aarch_64"]);
});

test("another content is refused", async () => {
  await using page = await releasePage((_request, response) => response.end("something else"));
  await expect(fetchEnvoy(page.options, never)).rejects.toMatchObject({ code: "ENVOY_HASH_MISMATCH" });
});

test("a body that ends early is an error even where nothing is pinned", async () => {
  await using page = await releasePage((_request, response) => {
    response.writeHead(200, { "content-length": EXECUTABLE.length + 1 });
    response.write(EXECUTABLE, () => response.destroy());
  });
  const options: FetchOptions = { ...page.options, lock: { default: "", versions: {} }, isUnlocked: true };
  expect(await failureOf(fetchEnvoy(options, never))).toMatch(/aborted|bytes came/);
  expect(await readdir(join(folder, ".cache/pilotboat/envoy/downloads"))).toEqual([]);
});

test("redirects without end are given up", async () => {
  await using page = await releasePage((_request, response) => response.writeHead(302, { location: "/again" }).end());
  expect(await failureOf(fetchEnvoy(page.options, never))).toContain("stopped after 5 redirects");
});

test("a redirect to something that is not HTTP is refused", async () => {
  await using page = await releasePage((_request, response) =>
    response.writeHead(302, { location: "ftp://127.0.0.1/envoy" }).end(),
  );
  expect(await failureOf(fetchEnvoy(page.options, never))).toContain("which is not encrypted");
});

test("nobody there is an error with the way out", async () => {
  const page = await releasePage(() => undefined);
  await page[Symbol.asyncDispose]();
  await expect(fetchEnvoy(page.options, never)).rejects.toMatchObject({
    code: "ENVOY_FETCH_FAILED",
    hint: expect.stringContaining("--envoy PATH"),
  });
});

test("a stop in the middle of the body ends it", async () => {
  const stopping = new AbortController();
  await using page = await releasePage((_request, response) => {
    response.writeHead(200, { "content-length": "1000000" });
    response.write(EXECUTABLE);
  });
  const onProgress = (): void => stopping.abort(new Error("asked to stop"));
  await expect(fetchEnvoy({ ...page.options, onProgress }, stopping.signal)).rejects.toThrow("asked to stop");
  expect(await readdir(join(folder, ".cache/pilotboat/envoy/downloads"))).toEqual([]);
});
