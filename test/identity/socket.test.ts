import { lstat, mkdir, rename, symlink, unlink } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { dirname, join } from "node:path";
import { Server as GrpcServer, ServerCredentials } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { decideSdsSocket, hasCredentialSocket } from "../../src/identity/prepare/index.ts";
import { PATHS } from "../../src/istio/index.ts";
import { createWorld, type World } from "./world.ts";

const FOLDER = "var/run/secrets/workload-spiffe-uds";

test("with nothing there we serve the workload's socket", async () => {
  await using world = await createWorld();
  expect(await decideSdsSocket({ cwd: world.cwd, fileName: "socket" })).toEqual({
    path: join(world.cwd, FOLDER, "socket"),
    folderMode: 0o750,
    isFilesOnly: false,
  });
});

test("a live SDS of another program is left alone, and we serve files only", async () => {
  await using world = await createWorld();
  for (const fileName of ["socket", "other"]) {
    await using _live = await startGrpc(join(world.cwd, FOLDER, fileName));
    const plan = await decideSdsSocket({ cwd: world.cwd, fileName });
    expect(plan).toMatchObject({ path: join(world.cwd, PATHS.filesSocket), isFilesOnly: true });
  }
});

test("a stale socket and a program that only accepts are not another program's SDS; nothing is changed", async () => {
  await using world = await createWorld();
  const path = join(world.cwd, FOLDER, "socket");
  const look = () => decideSdsSocket({ cwd: world.cwd, fileName: "socket" });
  await startStale(path);
  expect(await look()).toMatchObject({ path, isFilesOnly: false });
  await unlink(path);
  await using _mute = await startMute(world, `${FOLDER}/socket`);
  expect(await look()).toMatchObject({ path, isFilesOnly: false });
  expect((await lstat(path)).isSocket()).toBe(true);
});

test("a link to a live SDS is used as the socket itself", async () => {
  await using world = await createWorld();
  await using _live = await startGrpc(join(world.cwd, "spire", "agent.sock"));
  await mkdir(join(world.cwd, FOLDER), { recursive: true });
  await symlink(join(world.cwd, "spire", "agent.sock"), join(world.cwd, FOLDER, "socket"));
  expect(await decideSdsSocket({ cwd: world.cwd, fileName: "socket" })).toMatchObject({ isFilesOnly: true });
});

test("a socket of another name must be there, is waited for if asked, and is never removed", async () => {
  await using world = await createWorld();
  const options = { cwd: world.cwd, fileName: "x" };
  await expect(decideSdsSocket(options)).rejects.toThrow(
    /agent configured for non-default SDS socket path: .* but no socket found/,
  );
  await startStale(join(world.cwd, FOLDER, "x"));
  await expect(decideSdsSocket(options)).rejects.toMatchObject({ code: "SDS_SOCKET_MISSING" });
  await lstat(join(world.cwd, FOLDER, "x"));
  const waiting = decideSdsSocket({ cwd: world.cwd, fileName: "late", waitMs: 30_000 });
  await using _live = await startGrpc(join(world.cwd, FOLDER, "late"));
  expect(await waiting).toMatchObject({ isFilesOnly: true });
});

test.each(["a/b", "", "/socket", "../socket", "."])("the name %j is refused", async (fileName) => {
  await expect(decideSdsSocket({ cwd: "/nowhere", fileName })).rejects.toThrow("must be a filename, not a path");
});

test("credentials of another program count only while it lives", async () => {
  await using world = await createWorld();
  const look = { mayRemove: false };
  expect(await hasCredentialSocket(world.cwd, look)).toBe(false);
  const path = join(world.cwd, PATHS.credentialSocket);
  await using _live = await startGrpc(path);
  expect(await hasCredentialSocket(world.cwd, look)).toBe(true);
});

test("a dead socket for credentials is removed only by who may, anything else there by nobody", async () => {
  await using world = await createWorld();
  const path = join(world.cwd, PATHS.credentialSocket);
  await startStale(path);
  expect(await hasCredentialSocket(world.cwd, { mayRemove: false })).toBe(false);
  expect((await lstat(path)).isSocket()).toBe(true);
  expect(await hasCredentialSocket(world.cwd, { mayRemove: true })).toBe(false);
  await expect(lstat(path)).rejects.toThrow("ENOENT");
  await world.write(PATHS.credentialSocket, "x");
  expect(await hasCredentialSocket(world.cwd, { mayRemove: true })).toBe(false);
  expect((await lstat(path)).isFile()).toBe(true);
});

async function startGrpc(path: string): Promise<AsyncDisposable> {
  await mkdir(dirname(path), { recursive: true });
  const server = new GrpcServer();
  await new Promise((resolve) => server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), resolve));
  return { [Symbol.asyncDispose]: async () => server.forceShutdown() };
}

async function listen(path: string): Promise<Server> {
  await mkdir(dirname(path), { recursive: true });
  const server = createServer((socket) => socket.on("error", () => undefined));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return server;
}

/** Leaves a socket file behind as a crash does: closing removes the name it was bound to, not the one it has now. */
async function startStale(path: string): Promise<void> {
  const server = await listen(`${path}.first`);
  await rename(`${path}.first`, path);
  await new Promise((resolve) => server.close(resolve));
}

async function startMute(world: World, path: string): Promise<AsyncDisposable> {
  const server = await listen(join(world.cwd, path));
  return { [Symbol.asyncDispose]: async () => void server.close() };
}
