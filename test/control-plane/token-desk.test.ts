import { mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { bindUnix } from "../../src/base/index.ts";
import { findControlPlanes } from "../../src/control-plane/index.ts";
import { FULL_QUEUE, holdSocket } from "../support/other-socket.ts";

test("only sockets that refuse connections are removed when control planes are looked for", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pb-desks-"));
  const at = (name: string): string => join(folder, name);
  await using _live = await bindUnix(at("15010-7.sock"));
  using _full = await holdSocket(at("15011-8.sock"), "SOCK_STREAM", FULL_QUEUE);
  using _datagrams = await holdSocket(at("15012-9.sock"), "SOCK_DGRAM");
  const dead = createServer();
  await new Promise<void>((done) => dead.listen(at("first"), done));
  await rename(at("first"), at("15013-10.sock"));
  await new Promise((done) => dead.close(done));

  expect(await findControlPlanes(folder)).toEqual([{ port: 15_010, pid: 7, socket: at("15010-7.sock") }]);
  expect((await readdir(folder)).sort()).toEqual(["15010-7.sock", "15011-8.sock", "15012-9.sock"]);
  await rm(folder, { recursive: true, force: true });
});
