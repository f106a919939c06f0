import { execFileSync } from "node:child_process";
import { fstatSync } from "node:fs";
import { chmod, chown, lstat, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { makeFolder, removeTree, renameFile } from "../../src/base/index.ts";
import { closePipe, makePipes } from "../../src/envoy/output/make-pipes.ts";
import { run, runtimes } from "../support/pilotboat.ts";
import { asRoot, STRANGER, startProgram } from "./users.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-removals-"));
  await chmod(folder, 0o755);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A folder that the stranger owns, and one of root's with a file in it. */
async function setTrap(): Promise<{ readonly precious: string; readonly theirs: string }> {
  const [precious, theirs] = [join(folder, "precious"), join(folder, "theirs")];
  await mkdir(precious, { mode: 0o755 });
  await writeFile(join(precious, "file"), "ours");
  await mkdir(theirs, { mode: 0o777 });
  await chown(theirs, STRANGER, STRANGER);
  return { precious, theirs };
}

/** Has `tree/d` be a folder and a link to `target` by turns, as fast as it can. */
const TURN = `
import os, random, sys, time
os.chdir(sys.argv[1])
target = sys.argv[2]
print("ready", flush=True)
while True:
    try: os.makedirs("tree/d/e", exist_ok=True)
    except OSError: pass
    time.sleep(random.random() / 1000)
    try:
        os.rename("tree/d", "away-" + str(time.monotonic_ns()))
        os.symlink(target, "tree/d")
        time.sleep(random.random() / 1000)
        os.unlink("tree/d")
    except OSError: pass
`;

/** Puts a FIFO of its own in the place of each that appears. */
const EXCHANGE = `
import os, sys
os.chdir(sys.argv[1])
print("ready", flush=True)
while True:
    for one in os.listdir("."):
        try:
            if os.lstat(one).st_uid == os.getuid(): continue
            os.unlink(one)
            os.mkfifo(one, 0o666)
        except OSError: pass
`;

describe.skipIf(!asRoot)("what another user can have root remove, make or open", () => {
  test("hostile 3: no link that takes a folder's place has root remove what it leads to", async () => {
    const { precious, theirs } = await setTrap();
    await using _attacker = await startProgram(["/usr/bin/python3", "-c", TURN, theirs, precious], { uid: STRANGER });
    for (let round = 0; round < 500; round++) {
      await removeTree(join(theirs, "tree")).catch(() => undefined); // the attacker may hinder, no more
      expect(await readdir(precious), `in round ${round}`).toEqual(["file"]);
    }
  });

  test("hostile 3: no link of another user has a folder made or a file renamed elsewhere", async () => {
    const { precious, theirs } = await setTrap();
    execFileSync("ln", ["-s", precious, join(theirs, "way")]);
    execFileSync("chown", ["-h", `${STRANGER}`, join(theirs, "way")]);
    const refused = { code: "UNTRUSTED_PATH" };
    await expect(makeFolder(join(theirs, "way/new/er"))).rejects.toMatchObject(refused);
    await expect(renameFile(join(theirs, "way/file"), "other")).rejects.toMatchObject(refused);
    await expect(removeTree(join(theirs, "way/file"))).rejects.toMatchObject(refused);
    expect(await readdir(precious)).toEqual(["file"]);
    await removeTree(join(theirs, "way")); // the link itself
    expect(await readdir(theirs)).toEqual([]);
  });

  test("hostile 3: a pipe for Envoy's output is never another user's", async () => {
    const { theirs } = await setTrap();
    await using _attacker = await startProgram(["/usr/bin/python3", "-c", EXCHANGE, theirs], { uid: STRANGER });
    for (let round = 0; round < 40; round++) {
      const pipes = await makePipes({ folders: [theirs], path: process.env.PATH, owner: undefined }).catch(() => []);
      expect(pipes.map(({ reading }) => fstatSync(reading).uid).filter((uid) => uid !== 0)).toEqual([]);
      for (const pipe of pipes) closePipe(pipe);
    }
  });

  test.each(runtimes())("hostile 3: on $name, a log target is not reached by another user's link", async (runtime) => {
    const { precious, theirs } = await setTrap();
    const target = join(theirs, "log");
    await symlink(join(precious, "file"), target);
    execFileSync("chown", ["-h", `${STRANGER}`, target]);
    const words = ["proxy", "sidecar", "--run-folder", join(folder, "run")];
    const refused = await run(runtime, [...words, `--log_target=${target}`]);
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining("UNTRUSTED_PATH") });
    expect(await readFile(join(precious, "file"), "utf8")).toBe("ours");
    const own = join(folder, "log");
    await symlink(join(precious, "log"), own);
    const intoPipe = { ...runtime, command: ["sh", "-c", '"$@" | cat', "sh", ...runtime.command] };
    for (const good of [own, "/dev/stdout"]) {
      const ran = await run(intoPipe, [...words, `--log_target=${good}`], { env: { PROXY_CONFIG: "no" } });
      const logged = good === own ? await readFile(join(precious, "log"), "utf8") : ran.stdout;
      expect(logged).toContain("CONFIG_INVALID");
    }
  });

  test.each(runtimes())("hostile 3: on $name, a token is not taken from whoever made the socket", async (runtime) => {
    const { theirs } = await setTrap();
    const desks = join(theirs, "pilotboat/control-planes");
    await mkdir(desks, { recursive: true });
    execFileSync("chown", ["-R", `${STRANGER}`, theirs]);
    let asked = 0;
    const impostor = createServer((socket) => {
      socket.once("data", () => {
        asked++;
        socket.end(`${JSON.stringify({ token: "a.b.c", rootPem: "theirs" })}\n`);
      });
    });
    const path = join(desks, "15012-1.sock");
    await new Promise<void>((done) => impostor.listen(path, done));
    try {
      const env = { XDG_STATE_HOME: theirs };
      const ran = await run(runtime, ["control-plane", "token", "--service-account", "a"], { env });
      expect(ran).toMatchObject({ code: 1, stdout: "", stderr: expect.stringContaining("UNTRUSTED_PATH") });
      expect(asked).toBe(0);
      expect((await lstat(path)).isSocket()).toBe(true);
    } finally {
      impostor.close();
    }
  });
});

test("a tree is removed whole, with what it holds of links, sockets and empty folders; absent is fine", async () => {
  const tree = join(folder, "tree");
  await mkdir(join(tree, "a/b"), { recursive: true });
  await writeFile(join(tree, "a/file"), "");
  await writeFile(join(folder, "outside"), "");
  await symlink(join(folder, "outside"), join(tree, "link"));
  await symlink(folder, join(tree, "a/b/up"));
  await removeTree(tree);
  await removeTree(tree);
  await removeTree(join(folder, "nowhere/tree"));
  expect(await readdir(folder)).toEqual(["outside"]);
});

test("hostile 3: nothing is removed recursively by its name", async () => {
  const files = (await readdir("src", { recursive: true })).filter((file) => file.endsWith(".ts"));
  const texts = await Promise.all(
    files.map(async (file) => [file, await readFile(join("src", file), "utf8")] as const),
  );
  const removing = texts.filter(([, text]) => /\brm(Sync)?\([^)]*recursive: true/.test(text)).map(([file]) => file);
  expect(removing).toEqual(["base/remove-tree.ts"]);
});
