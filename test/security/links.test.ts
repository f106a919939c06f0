import { execFileSync } from "node:child_process";
import { chmod, lstat, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { makeRunFolder } from "../../src/agent/run-folder/make-run-folder.ts";
import { bindUnix, removeFile, writeFileAtomically } from "../../src/base/index.ts";
import { run, runtimes } from "../support/pilotboat.ts";
import { asRoot, STRANGER, startProgram } from "./users.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-links-"));
  await chmod(folder, 0o755);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A file of root that nobody may read, and a folder beside it that everybody may write. */
async function setTrap(): Promise<{ readonly precious: string; readonly open: string }> {
  const precious = join(folder, "precious");
  await writeFile(precious, "secret", { mode: 0o600 });
  const open = join(folder, "open");
  await mkdir(open);
  await chmod(open, 0o777); // not sticky: names in it can be taken from each other
  return { precious, open };
}

/** Puts a link to `target` at `name` whenever something of root's is there, as fast as it can, as another user. */
const SWAP = `
import os, sys
os.chdir(sys.argv[1])
name, target = sys.argv[2], sys.argv[3]
print("ready", flush=True)
while True:
    for one in os.listdir("."):
        try:
            if os.lstat(one).st_uid == os.getuid(): continue
            os.rename(one, "taken-" + str(os.getpid()))
            os.symlink(target, one)
        except OSError:
            pass
`;

const ownerOf = async (path: string): Promise<readonly [uid: number, mode: number]> => {
  const { uid, mode } = await stat(path);
  return [uid, mode & 0o7777];
};

describe.skipIf(!asRoot)("what another user puts in the way of root", () => {
  test("hostile 3: a link that takes a socket's place while it is made changes no file of root", async () => {
    const { precious, open } = await setTrap();
    await using _attacker = await startProgram(["/usr/bin/python3", "-c", SWAP, open, "socket", precious], {
      uid: STRANGER,
    });
    for (let round = 0; round < 60; round++) {
      await bindUnix(join(open, "socket"), { mode: 0o666, owner: { uid: STRANGER, gid: STRANGER } }).then(
        (bound) => bound[Symbol.asyncDispose](),
        () => undefined, // the attacker may hinder, no more
      );
      expect(await ownerOf(precious)).toEqual([0, 0o600]);
      for (const name of await readdir(open)) await rm(join(open, name), { recursive: true, force: true });
    }
    expect(await readFile(precious, "utf8")).toBe("secret");
  });

  test("hostile 3: no link of another user leads a socket, a file or a removal to another folder", async () => {
    const { open } = await setTrap();
    const ours = join(folder, "ours");
    await mkdir(ours, { mode: 0o700 });
    await writeFile(join(ours, "file"), "ours");
    execFileSync("ln", ["-s", ours, join(open, "way")]);
    execFileSync("chown", ["-h", `${STRANGER}`, join(open, "way")]);
    const refused = { code: "UNTRUSTED_PATH", message: expect.stringContaining(`belongs to uid ${STRANGER}`) };
    await expect(bindUnix(join(open, "way/socket"))).rejects.toMatchObject(refused);
    await expect(writeFileAtomically(join(open, "way/file"), "theirs")).rejects.toMatchObject(refused);
    await expect(removeFile(join(open, "way/file"))).rejects.toMatchObject(refused);
    expect(await readFile(join(ours, "file"), "utf8")).toBe("ours");
    expect(await readdir(ours)).toEqual(["file"]);
  });

  test("hostile 3: a link of our own is followed, but not in a folder where others could exchange it", async () => {
    const { open } = await setTrap();
    await mkdir(join(folder, "ours"));
    await symlink(join(folder, "ours"), join(folder, "good"));
    await symlink(join(folder, "ours"), join(open, "bad"));
    await writeFileAtomically(join(folder, "good/file"), "x");
    expect(await readdir(join(folder, "ours"))).toEqual(["file"]);
    await expect(writeFileAtomically(join(open, "bad/file"), "x")).rejects.toMatchObject({
      code: "UNTRUSTED_PATH",
      message: expect.stringContaining("is a link in a folder that can be written by everybody (mode 0777)"),
    });
  });

  test("hostile 3: root gives Envoy's user only folders that nobody can have exchanged", async () => {
    const owner = { uid: 1337, gid: 1337 };
    const ours = join(folder, "ours");
    await mkdir(ours, { mode: 0o700 });
    const theirs = join(folder, "theirs");
    await mkdir(theirs);
    await symlink(ours, join(theirs, "run"));
    execFileSync("chown", ["-hR", `${STRANGER}`, theirs]);
    await expect(makeRunFolder(join(theirs, "run"), { owner })).rejects.toMatchObject({ code: "UNTRUSTED_PATH" });
    await expect(makeRunFolder(join(theirs, "new/run"), { owner })).rejects.toMatchObject({ code: "UNTRUSTED_PATH" });
    expect(await ownerOf(ours)).toEqual([0, 0o700]);
    await using _made = await makeRunFolder(join(folder, "a/b"), { mode: 0o700, owner });
    expect([await ownerOf(join(folder, "a")), await ownerOf(join(folder, "a/b"))]).toEqual([
      [1337, 0o700],
      [1337, 0o700],
    ]);
    await using _again = await makeRunFolder(join(folder, "a/b"), { owner }); // what an agent that was killed left
  });

  test("hostile 3: a folder that everybody can enter stays whose it was", async () => {
    const { open } = await setTrap(); // as an emptyDir of Kubernetes is
    await using _found = await makeRunFolder(open, { owner: { uid: 1337, gid: 1337 } });
    expect(await ownerOf(open)).toEqual([0, 0o777]);
  });

  test.each(runtimes())(
    "hostile 3: on $name, DNS_PROXY_ADDR=…:53 gives no prepared folder away, and the agent says why it ends",
    async (runtime) => {
      const ours = join(folder, "ours");
      await mkdir(ours, { mode: 0o700 });
      const theirs = join(folder, "theirs");
      await mkdir(join(theirs, "etc/istio"), { recursive: true });
      await symlink(ours, join(theirs, "etc/istio/proxy"));
      execFileSync("chown", ["-hR", `${STRANGER}`, theirs]);
      const ran = await run(runtime, ["proxy", "sidecar"], {
        cwd: theirs,
        env: { DNS_PROXY_ADDR: "127.0.0.1:53", CA_PROVIDER: "Citadel", POD_NAMESPACE: "default" },
      });
      expect(ran.code).not.toBe(0);
      expect(ran.stderr).toContain("UNTRUSTED_PATH");
      expect(await ownerOf(ours)).toEqual([0, 0o700]);
      expect(await readdir(ours)).toEqual([]);
    },
  );

  test.each(runtimes())("hostile 3: on $name, a configuration that is refused changes no file", async (runtime) => {
    const ran = await run(runtime, ["proxy", "sidecar"], {
      cwd: folder,
      env: {
        DNS_PROXY_ADDR: "127.0.0.1:53",
        ISTIO_META_DNS_CAPTURE: "maybe",
        POD_NAMESPACE: "default",
      },
    });
    expect(ran.stderr).toContain("CONFIG_INVALID");
    expect(await readdir(folder)).toEqual([]);
  });
});

test("hostile 3: a socket has its mode when its name appears, whatever the umask, and its name goes with it", async () => {
  for (const umask of [0o000, 0o022, 0o077]) {
    const before = process.umask(umask);
    try {
      for (const mode of [0o600, 0o660, 0o666]) {
        const path = join(folder, "made", "socket");
        const bound = await bindUnix(path, { mode });
        expect((await lstat(path)).mode & 0o7777).toBe(mode);
        const greeting = new Promise((done) => bound.handOver((socket) => done(socket.end("hello"))));
        connect(path).resume();
        await greeting;
        expect(await readdir(join(folder, "made"))).toEqual(["socket"]);
        await bound[Symbol.asyncDispose]();
        expect(await readdir(join(folder, "made"))).toEqual([]);
      }
    } finally {
      process.umask(before);
    }
  }
});

test("hostile 3: a socket that ends takes away its own name only", async () => {
  const path = join(folder, "socket");
  const bound = await bindUnix(path);
  await rm(path);
  await writeFile(path, "another's");
  await bound[Symbol.asyncDispose]();
  expect(await readFile(path, "utf8")).toBe("another's");
});
