import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from "vitest";
import { exchange } from "../../src/cli/http-exchange.ts";
import { fetchEnvoy } from "../../src/envoy/binary/index.ts";
import { askMetadata } from "../../src/node/platform/metadata-server.ts";
import { createTestCa } from "../support/test-ca.ts";

const never = new AbortController().signal;

beforeEach(() => void vi.stubEnv("NODE_TLS_REJECT_UNAUTHORIZED", "0"));
afterEach(() => void vi.unstubAllEnvs());

/** A server whose root nobody here trusts, and how often it was asked. */
async function startStranger() {
  const { certPem, keyPem } = await (await createTestCa("stranger")).issue({ dns: ["localhost"] });
  let requests = 0;
  const server = createServer({ cert: certPem, key: keyPem }, (_request, response) => {
    requests++;
    response.end("{}");
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  onTestFinished(() => void server.close());
  return { url: `https://localhost:${(server.address() as AddressInfo).port}`, requests: () => requests };
}

test("reality 3: a platform's API is not asked when its certificate is nobody's", async () => {
  const stranger = await startStranger();
  expect(await askMetadata(stranger.url, { timeoutMs: 5_000, limit: never })).toBeUndefined();
  expect(stranger.requests()).toBe(0);
});

test("reality 3: an HTTP exchange does not trust it either", async () => {
  const stranger = await startStranger();
  const asked = exchange({ method: "GET", url: new URL(stranger.url), timeoutMs: 5_000, signal: never });
  await expect(asked).rejects.toThrow(/certificate/);
  expect(stranger.requests()).toBe(0);
});

test("reality 3: Envoy is not downloaded from it", async () => {
  const stranger = await startStranger();
  const home = await mkdtemp(join(tmpdir(), "pb-verified-"));
  onTestFinished(() => rm(home, { recursive: true }));
  const pinned = { file: "envoy", bytes: 2, sha256: "", executableSha256: "" };
  const lock = { default: "9.9.9", versions: { "9.9.9": { "linux-x64": { github: pinned } } } };
  const from = { source: "github", releasesUrl: stranger.url, onNote: () => undefined } as const;
  const fetched = fetchEnvoy({ env: { HOME: home }, version: "9.9.9", platform: "linux-x64", lock, ...from }, never);
  await expect(fetched).rejects.toMatchObject({ code: "ENVOY_FETCH_FAILED" });
  expect(stranger.requests()).toBe(0);
});

/** They look at the certificates that a server presents, say nothing over the connection, and close it. */
const INSPECTORS = ["identity/tls/untrusted.ts", "local/cluster/presented-names.ts"];
/** Asks the application for its health, as the kubelet does, which does not verify either. */
const PROBERS = ["exchange/http-exchange.ts"];

test("reality 3: every file that makes a TLS connection states that it verifies, and none uses fetch", async () => {
  const files = (await readdir("src", { recursive: true })).filter((name) => name.endsWith(".ts"));
  const connecting: string[] = [];
  for (const file of files) {
    const text = await readFile(join("src", file), "utf8");
    expect(text, `${file}: on Bun fetch goes through HTTP_PROXY`).not.toMatch(/(?:await|return|=>) fetch\([^)]/);
    if (!/(?:from |import\()"node:https"|\bconnect\b[^;]*from "node:tls"/.test(text)) continue;
    connecting.push(file);
    if (INSPECTORS.includes(file)) expect(text, file).not.toMatch(/\.(write|end)\(/);
    else if (PROBERS.includes(file)) expect(text, file).not.toMatch(/authorization|VERIFIED_TLS/i);
    else expect(text, file).toMatch(/\.\.\.VERIFIED_TLS|\.\.\.\(isUnverified \? UNVERIFIED_TLS : VERIFIED_TLS\)/);
  }
  expect(connecting.sort()).toEqual(CONNECTING);
});

test("only servers that WASM_INSECURE_REGISTRIES names may be anybody", async () => {
  const files = (await readdir("src", { recursive: true })).filter((name) => name.endsWith(".ts"));
  const unverifying: string[] = [];
  for (const file of files) {
    const text = await readFile(join("src", file), "utf8");
    if (!file.startsWith("base/") && /\bisUnverified\b/.test(text)) unverifying.push(file);
  }
  expect(unverifying).toEqual(["agent/parts/wasm.ts"]);
});

const CONNECTING = [
  "base/http.ts",
  "grpc/credentials.ts",
  ...INSPECTORS,
  "local/doctor/root-at-istiod.ts",
  "kubernetes/dial.ts",
  ...PROBERS,
].sort();
