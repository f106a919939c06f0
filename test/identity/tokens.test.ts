import { chmod, lstat, mkdir, readdir, readFile, rm, symlink } from "node:fs/promises";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { needsGceRefresh } from "../../src/identity/tokens/gce.ts";
import { readJwtTimes } from "../../src/identity/tokens/jwt.ts";
import { readTokenFile } from "../../src/identity/tokens/token-file.ts";
import { describeTokenTrouble, tokenState } from "../../src/identity/tokens/token-state.ts";
import { PATHS } from "../../src/istio/index.ts";
import { createMovableClock } from "../support/movable-clock.ts";
import { createWorld } from "./world.ts";

const MINUTE_MS = 60_000;

test("the file is read with each call, white space around the token is dropped", async () => {
  await using world = await createWorld();
  const tokens = world.tokens();
  await world.write(PATHS.token, "\n first \n");
  expect((await tokens.fetch())?.revealText()).toBe("first");
  await world.write(PATHS.token, "second");
  expect((await tokens.fetch())?.revealText()).toBe("second");
});

test("a missing token is no failure of the call, but a state and one line in the log", async () => {
  await using world = await createWorld();
  const tokens = world.tokens();
  expect(await tokens.fetch()).toBeUndefined();
  expect(await tokens.fetch()).toBeUndefined();
  expect(tokens.state()).toMatchObject({ kind: "missing", reason: expect.stringContaining("does not exist") });
  expect(world.lines.filter((line) => line.includes("failed to fetch token from file"))).toHaveLength(1);
  await world.write(PATHS.token, "here");
  await tokens.fetch();
  expect(world.lines.at(-1)).toContain("token is usable again");
});

test("an empty token is a state of its own", async () => {
  await using world = await createWorld();
  await world.write(PATHS.token, " \n");
  const tokens = world.tokens();
  expect(await tokens.fetch()).toBeUndefined();
  expect(tokens.state()).toEqual({
    kind: "missing",
    sinceMs: expect.any(Number),
    reason: expect.stringMatching(/^the token in ".*istio-token" is empty$/),
  });
});

test("a token of another user is told apart from a missing one", async () => {
  await using world = await createWorld();
  await chmod(world.cwd, 0o755);
  const path = await world.write("token", "secret");
  await chmod(path, 0o600);
  const isRoot = process.getuid?.() === 0;
  if (isRoot) process.seteuid?.(65_534);
  else await chmod(path, 0);
  const failure = readTokenFile(path).catch((error: Error) => error.message);
  const message = await failure.finally(() => isRoot && process.seteuid?.(0));
  expect(message).toMatch(/permission denied for uid \d+ gid \d+, the file belongs to uid \d+ gid \d+ with mode 0\d00/);
});

test("expiry is a visible state with the time left, logged once per change", async () => {
  await using world = await createWorld();
  const clock = createMovableClock(1_000_000_000_000);
  await world.write(PATHS.token, jwt({ iat: 1_000_000_000, exp: 1_000_003_600 }));
  const tokens = world.tokens({ clock });
  await tokens.fetch();
  expect(tokens.state()).toMatchObject({ kind: "valid", leftMs: 60 * MINUTE_MS });
  clock.jump(55 * MINUTE_MS);
  await clock.advance(MINUTE_MS);
  await expect.poll(() => world.lines.filter((line) => line.includes("state=expiring"))).toHaveLength(1);
  clock.jump(10 * MINUTE_MS);
  await clock.advance(3 * MINUTE_MS);
  await expect.poll(() => world.lines.filter((line) => line.includes("state=expired"))).toHaveLength(1);
  expect(describeTokenTrouble(tokens.state())).toMatch(
    /the token expired at 2001-09-09T02:46:40Z and was not replaced/,
  );
  expect(world.metrics.render()).toMatch(/istio_agent_token_expiry_seconds -\d+/);
  await world.write(PATHS.token, jwt({ iat: 1_000_004_000, exp: 1_000_009_000 }));
  await clock.advance(MINUTE_MS);
  await expect.poll(() => world.lines.at(-1)).toContain("token is usable again");
});

test("no token appears in the log", async () => {
  await using world = await createWorld("debug");
  const text = jwt({ exp: 1 });
  await world.write(PATHS.token, text);
  await world.tokens().fetch();
  expect(world.lines.join()).not.toContain(text.slice(0, 20));
});

test.each([
  ["a.b", undefined],
  ["a.b.c.d", undefined],
  ["not a token", undefined],
  [jwt({ sub: "x" }), undefined],
  [jwt({ exp: "soon" }), undefined],
  [jwt([1]), undefined],
  [jwt({ exp: 5, iat: 3 }), { expiresAtSeconds: 5, issuedAtSeconds: 3 }],
  [jwt({ exp: 5 }), { expiresAtSeconds: 5, issuedAtSeconds: undefined }],
])("times of %s", (token, times) => {
  expect(readJwtTimes(token)).toEqual(times);
});

test("a token without an issue time counts as expiring in its last ten minutes", () => {
  const reading = { kind: "read", times: { expiresAtSeconds: 1_000, issuedAtSeconds: undefined } } as const;
  expect(tokenState(reading, 1_000_000 - 11 * MINUTE_MS).kind).toBe("valid");
  expect(tokenState(reading, 1_000_000 - 9 * MINUTE_MS).kind).toBe("expiring");
});

test("an unknown fetcher is refused", async () => {
  await using world = await createWorld();
  expect(() => world.tokens({ fetcher: "foo" })).toThrow("invalid credential fetcher type foo");
});

test("the mock fetcher gives its constant", async () => {
  await using world = await createWorld();
  expect((await world.tokens({ fetcher: "Mock" }).fetch())?.revealText()).toBe("test_token");
});

test("Google's metadata server is asked with each call, and the file holds the last token", async () => {
  await using world = await createWorld();
  await using google = await startMetadataServer();
  const path = await world.write(PATHS.token, "");
  const tokens = world.tokens({ fetcher: "GoogleComputeEngine", gceMetadataHost: google.host, trustDomain: "a.b" });
  for (let i = 1; i <= 5; i++) expect((await tokens.fetch())?.revealText()).toBe(`token-${i}`);
  expect(google.requests).toHaveLength(5);
  expect(google.requests[0]?.url).toBe(
    "/computeMetadata/v1/instance/service-accounts/default/identity?audience=a.b&format=full",
  );
  expect(google.requests[0]?.headers["metadata-flavor"]).toBe("Google");
  expect(await readFile(path, "utf8")).toBe("token-5");
});

test("Google's fetcher rejects, with 5xx tried again and 404 not", async () => {
  await using world = await createWorld();
  await using google = await startMetadataServer();
  await world.write(PATHS.token, "");
  const tokens = world.tokens({ fetcher: "GoogleComputeEngine", gceMetadataHost: google.host });
  google.status.push(503, 503);
  await tokens.fetch();
  expect(google.requests).toHaveLength(3);
  google.status.push(404);
  await expect(tokens.fetch()).rejects.toThrow(/not defined/);
  expect(google.requests).toHaveLength(4);
  await rm(join(world.cwd, "var"), { recursive: true });
  await expect(tokens.fetch()).rejects.toMatchObject({ code: "TOKEN_UNREADABLE" });
});

test("Google's token is written as a whole, for us alone, and not through a link that somebody planted", async () => {
  await using world = await createWorld();
  await using google = await startMetadataServer();
  const elsewhere = await world.write("elsewhere", "untouched");
  await mkdir(dirname(join(world.cwd, PATHS.token)), { recursive: true });
  await symlink(elsewhere, join(world.cwd, PATHS.token));
  await world.tokens({ fetcher: "GoogleComputeEngine", gceMetadataHost: google.host }).fetch();
  const found = await lstat(join(world.cwd, PATHS.token));
  expect([found.isFile(), found.mode & 0o777]).toEqual([true, 0o600]);
  expect(await readFile(elsewhere, "utf8")).toBe("untouched");
  expect(await readdir(dirname(join(world.cwd, PATHS.token)))).toEqual(["istio-token"]);
});

test("a token that cannot be written is not called one that cannot be fetched", async () => {
  await using world = await createWorld();
  await using google = await startMetadataServer();
  const tokens = world.tokens({ fetcher: "GoogleComputeEngine", gceMetadataHost: google.host });
  const failure = await tokens.fetch().catch((error: Error) => error);
  expect(failure).toMatchObject({
    code: "TOKEN_UNREADABLE",
    message: expect.stringMatching(/^Cannot keep the platform credential: Cannot write ".*istio-token": ENOENT/),
  });
  expect(google.requests).toHaveLength(1);
});

test("Google's fetcher without a path asks nobody", async () => {
  await using world = await createWorld();
  const tokens = world.tokens({ fetcher: "GoogleComputeEngine", path: "", gceMetadataHost: "127.0.0.1:1" });
  await expect(tokens.fetch()).rejects.toThrow("jwtPath is unset");
});

test.each([
  ["10 minutes left", { kind: "read", times: { expiresAtSeconds: 600, issuedAtSeconds: 0 } }, true],
  ["30 minutes left", { kind: "read", times: { expiresAtSeconds: 1_800, issuedAtSeconds: 0 } }, false],
  ["nothing fetched yet", { kind: "none" }, true],
  ["no readable expiry", { kind: "read", times: undefined }, true],
] as const)("Google's token is refreshed in the background: %s", (_case, reading, isDue) => {
  expect(needsGceRefresh(reading, 0)).toBe(isDue);
});

test("the background refresh runs every five minutes", async () => {
  await using world = await createWorld();
  await using google = await startMetadataServer();
  await world.write(PATHS.token, "");
  const clock = createMovableClock();
  world.tokens({ fetcher: "GoogleComputeEngine", gceMetadataHost: google.host, clock });
  await clock.advance(4 * MINUTE_MS);
  expect(google.requests).toHaveLength(0);
  await clock.advance(2 * MINUTE_MS);
  await expect.poll(() => google.requests.length).toBe(1);
});

function jwt(claims: unknown): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "none" })}.${part(claims)}.c2ln`;
}

async function startMetadataServer() {
  const requests: IncomingMessage[] = [];
  const status: number[] = [];
  const server = createServer((request, response) => {
    requests.push(request);
    response.writeHead(status.shift() ?? 200).end(`token-${requests.length}`);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    status,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
