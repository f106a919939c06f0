import { execFileSync } from "node:child_process";
import { chmod, lstat, mkdir, mkdtemp, readlink, rename, rm, symlink, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { bindUnix, lookAtSocketPlace, removeDeadSocket } from "../../src/base/index.ts";
import { FULL_QUEUE, holdSocket } from "../support/other-socket.ts";

let folder: string;
let path: string;
const toStop: (() => void)[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-place-"));
  path = join(folder, "socket");
});
afterEach(async () => {
  for (const stop of toStop.splice(0)) stop();
  await rm(folder, { recursive: true, force: true });
});

/** What may stand where our socket should be; all of it stays as it is. */
const IN_THE_WAY: readonly (readonly [string, () => Promise<unknown>, string])[] = [
  ["a regular file", () => writeFile(path, "mine"), "a regular file blocks the path"],
  ["an empty file", () => writeFile(path, ""), "a regular file blocks the path"],
  ["a folder", () => mkdir(path), "a folder blocks the path"],
  ["a FIFO", async () => execFileSync("mkfifo", [path]), "a FIFO blocks the path"],
  ["a link to nowhere", () => symlink("gone", path), 'a link to "gone", whose target does not exist, blocks the path'],
  ["a link to a device", () => symlink("/dev/null", path), 'a link to "/dev/null", a device, blocks the path'],
  ["a link to a file", () => linkedFile(), "a regular file, blocks the path"],
  ["a link to a dead socket", () => linkedDead(), "a socket that does not answer"],
  ["a live program's socket", () => listenAt(path), "in use, another process answers on it"],
  ["a link to a live program's socket", () => linkedLive(), "in use, another process answers on it"],
  ["a live datagram socket", () => hold("SOCK_DGRAM"), "a socket that may be in use"],
  ["a live socket whose queue is full", () => hold("SOCK_STREAM", FULL_QUEUE), "in use|may be in use"],
];

test.each(IN_THE_WAY)("reality 6: %s where a socket should be is named and stays", async (_what, make, words) => {
  await make();
  const before = await lstat(path);
  await expect(bindUnix(path)).rejects.toMatchObject({
    code: "ADDRESS_IN_USE",
    message: expect.stringMatching(words),
  });
  const { ino, mode } = await lstat(path);
  expect({ ino, mode }).toEqual({ ino: before.ino, mode: before.mode });
});

test("reality 6: a socket that refuses connections is replaced, and so is nothing else", async () => {
  await leaveDead(path);
  expect(await lookAtSocketPlace(path)).toMatchObject({ kind: "dead" });
  await using bound = await bindUnix(path);
  expect(bound.address).toBe(path);
  expect(await lookAtSocketPlace(path)).toEqual({ kind: "alive" });
  expect(await lookAtSocketPlace(join(folder, "nothing"))).toEqual({ kind: "absent" });
});

test("reality 6: a new socket at the place of the one that was found dead is left alone", async () => {
  await leaveDead(path);
  const place = await lookAtSocketPlace(path);
  if (place.kind !== "dead") throw new Error(place.kind);
  await rm(path);
  await listenAt(path);
  await expect(removeDeadSocket(path, place.found)).rejects.toMatchObject({ code: "ADDRESS_IN_USE" });
  expect(await lookAtSocketPlace(path)).toEqual({ kind: "alive" });
});

test.skipIf(process.getuid?.() !== 0)(
  "reality 6: a socket that we may not connect to is in doubt, and stays (needs root to become another user)",
  async () => {
    await chmod(folder, 0o777);
    await listenAt(path);
    await chmod(path, 0o600);
    process.seteuid?.(65_534);
    try {
      await expect(bindUnix(path)).rejects.toThrow(/a socket that may be in use \(.*EACCES/);
    } finally {
      process.seteuid?.(0);
    }
    expect((await lstat(path)).isSocket()).toBe(true);
  },
);

async function linkedFile(): Promise<void> {
  await writeFile(join(folder, "target"), "mine");
  await symlink("target", path);
}

async function linkedDead(): Promise<void> {
  await leaveDead(join(folder, "target"));
  await symlink("target", path);
  expect(await readlink(path)).toBe("target");
}

async function linkedLive(): Promise<void> {
  await listenAt(join(folder, "target"));
  await symlink("target", path);
}

async function listenAt(at: string): Promise<Server> {
  const server = createServer((socket) => socket.on("error", () => undefined));
  await new Promise<void>((resolve) => server.listen(at, resolve));
  toStop.push(() => server.close());
  return server;
}

/** Leaves a socket file behind as a crash does: closing removes the name it was bound to, not the one it has now. */
async function leaveDead(at: string): Promise<void> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(`${at}.first`, resolve));
  await rename(`${at}.first`, at);
  await new Promise((resolve) => server.close(resolve));
}

async function hold(kind: "SOCK_DGRAM" | "SOCK_STREAM", more?: string): Promise<void> {
  const held = await holdSocket(path, kind, more);
  toStop.push(() => held[Symbol.dispose]());
}
