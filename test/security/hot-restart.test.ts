import { execFile } from "node:child_process";
import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readOwnRunFile } from "../../src/agent/run-folder/index.ts";
import { makeMeetingPlace } from "../../src/agent/start-envoy/meeting-place.ts";
import { isSocketPathShort, silentLogger } from "../../src/base/index.ts";
import { loadConfig } from "../../src/config/index.ts";
import { forgetFailedEpoch, LONGEST_SOCKET_SUFFIX, newBaseId } from "../../src/envoy/supervisor/hot-restart.ts";
import { writeProgram } from "../support/fake-pip.ts";
import { runtimes } from "../support/pilotboat.ts";
import { realEnvoy } from "../support/real-envoy.ts";
import { createSandbox } from "../support/sandbox.ts";
import { startVictim } from "./rig.ts";
import { asRoot, asStranger, STRANGER } from "./users.ts";

const ON = { PILOTBOAT_HOT_RESTART: "true", PILOTBOAT_PARENT_SHUTDOWN: "2s" };

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-hot-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** Sends a datagram to each socket, as another user; what the system says of each, "sent" when it went. */
async function attack(paths: readonly string[], uid: number): Promise<string[]> {
  const script = `
import socket, sys
for path in sys.argv[1:]:
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        s.sendto(b"x", path)
        print("sent")
    except OSError as error:
        print(type(error).__name__)`;
  const [file = "", ...words] = [...asStranger(uid), "/usr/bin/env", "python3", "-c", script, ...paths];
  const python = await findPython();
  const { stdout } = await promisify(execFile)(
    file,
    words.map((word) => (word === "python3" ? python : word)),
  );
  return stdout.trim().split("\n");
}

/** One that another user may run, too: version managers keep theirs in the home folder. */
async function findPython(): Promise<string> {
  for (const path of ["/usr/bin/python3", "/usr/local/bin/python3"]) {
    if (await stat(path).then(Boolean, () => false)) return path;
  }
  throw new Error("there is no python3 in /usr");
}

/** `--socket-path` of a running Envoy, absolute. */
async function socketPathOf(pid: number): Promise<string> {
  const words = (await readFile(`/proc/${pid}/cmdline`, "utf8")).split("\0");
  const path = words[words.indexOf("--socket-path") + 1] ?? "";
  expect(words).toContain("--socket-mode");
  return isAbsolute(path) ? path : resolve(await workingFolderOf(pid), path);
}

async function workingFolderOf(pid: number): Promise<string> {
  return (await promisify(execFile)("readlink", [`/proc/${pid}/cwd`])).stdout.trim();
}

describe.skipIf(process.platform !== "linux").each(runtimes())("the sockets of a hot restart on $name", (runtime) => {
  test("hostile 1: they are in a folder of Envoy's own, none is abstract, and they survive four epochs", async () => {
    await using victim = await startVictim(runtime, {
      proxyConfig: { binaryPath: await realEnvoy(), drainDuration: "1s" },
      env: ON,
    });
    const { sandbox } = victim;
    const pidOf = async (): Promise<number> => {
      const { envoy } = JSON.parse((await victim.ask("/debug/agent")).text) as { envoy: { child: { pid: number } } };
      return envoy.child.pid;
    };
    for (let epoch = 0; epoch < 4; epoch++) {
      if (epoch > 0) expect(await sandbox.reload()).toMatchObject({ outcome: "replaced" });
      const path = await socketPathOf(await pidOf());
      const place = resolve(path, "..");
      expect((await stat(place)).mode & 0o7777).toBe(0o700);
      const names = await readdir(place);
      expect(names.length).toBeGreaterThanOrEqual(2);
      const sockets = names.map((name) => join(place, name));
      for (const socket of sockets) {
        expect(socket.startsWith(path)).toBe(true);
        expect((await stat(socket)).mode & 0o7777).toBe(0o600);
      }
      expect(await readFile("/proc/net/unix", "utf8")).not.toContain("@envoy_domain_socket");
      if (asRoot) expect(new Set(await attack(sockets, STRANGER))).toEqual(new Set(["PermissionError"]));
    }
    const path = await socketPathOf(await pidOf());
    victim.agent.kill("SIGTERM");
    expect(await victim.agent.ended).toMatchObject({ code: 0 });
    expect(await stat(resolve(path, "..")).catch(() => undefined)).toBeUndefined();
  });

  test("hostile 1: an Envoy that cannot hide them is not started", async () => {
    const old = join(folder, "envoy");
    const version = `envoy  version: ${"0".repeat(40)}/1.16.5/Clean/RELEASE/BoringSSL`;
    await writeProgram(old, `[ "$1" = --version ] && echo "${version}" || touch ${folder}/was-run`);
    const starting = startVictim(runtime, { proxyConfig: { binaryPath: old }, env: ON });
    await expect(starting).rejects.toThrow(
      /Cannot hot restart Envoy 1\.16\.5: it does not know --socket-path.*\[CONFIG_INVALID\]/,
    );
    expect(await stat(join(folder, "was-run")).catch(() => undefined)).toBeUndefined();
  });
});

test.skipIf(!asRoot)("hostile 1: an Envoy that runs as 1337 has them, and nobody else gets in", async () => {
  const [runtime] = runtimes();
  if (runtime === undefined) throw new Error("there is always one");
  await using sandbox = await createSandbox(runtime);
  await chmod(sandbox.folder, 0o755);
  await using _controlPlane = await sandbox.startControlPlane();
  const binaryPath = join(sandbox.folder, "envoy"); // root's cache is closed to others
  await copyFile(await realEnvoy(), binaryPath);
  await chmod(binaryPath, 0o755);
  const options = { proxyConfig: { binaryPath, drainDuration: "1s" }, env: { ...ON, DNS_PROXY_ADDR: "localhost:53" } };
  await using agent = await sandbox.startProxy(options);
  await agent.waitFor(/connected to \w+ upstream XDS server/);
  const { envoys } = await readOwnRunFile(join(sandbox.folder, "etc/istio/proxy/agent.json"));
  const path = await socketPathOf(envoys[0]?.pid ?? 0);
  const sockets = (await readdir(resolve(path, ".."))).map((name) => resolve(path, "..", name));
  expect((await stat(sockets[0] ?? "")).uid).toBe(1337);
  expect(new Set(await attack(sockets, STRANGER))).toEqual(new Set(["PermissionError"]));
});

async function meet(env: Record<string, string> = {}, cwd: string = folder) {
  const { config } = await loadConfig({ args: ["sidecar"], env: { ...ON, ...env }, cwd });
  const host = { env: { TMPDIR: join(folder, "tmp"), ...env }, cwd } as never;
  return makeMeetingPlace(config, { host, log: silentLogger } as never);
}

test("hostile 1: without hot restart there is no such folder", async () => {
  expect(await meet({ PILOTBOAT_HOT_RESTART: "false" })).toBeUndefined();
});

test("hostile 1: a run folder that others can write is not where they are", async () => {
  await mkdir(join(folder, "tmp"));
  await mkdir(join(folder, "etc/istio/proxy"), { recursive: true });
  await using inRunFolder = await meet();
  expect(inRunFolder?.socketPath).toBe("etc/istio/proxy/hot-restart/e");
  await chmod(join(folder, "etc/istio/proxy"), 0o777);
  await using elsewhere = await meet();
  expect(resolve(folder, elsewhere?.socketPath ?? "")).toMatch(
    new RegExp(`^${folder}/tmp/pilotboat-hot-restart-\\w{6}/e$`),
  );
  await chmod(join(folder, "tmp"), 0o777);
  await using last = await meet();
  expect(resolve(folder, last?.socketPath ?? "")).toMatch(/^\/tmp\/pilotboat-hot-restart-\w{6}\/e$/);
});

test("hostile 1: the paths fit, whatever the run folder is called", async () => {
  const deep = join(folder, "d".repeat(60), "e".repeat(60));
  await mkdir(join(deep, "etc/istio/proxy"), { recursive: true });
  await using near = await meet({}, deep);
  expect(near?.socketPath).toBe("etc/istio/proxy/hot-restart/e");
  const far = { PROXY_CONFIG: JSON.stringify({ configPath: join(deep, "proxy") }), TMPDIR: deep };
  await mkdir(join(deep, "proxy"));
  await using elsewhere = await meet(far, "/");
  expect(resolve("/", elsewhere?.socketPath ?? "")).toMatch(/^\/tmp\/pilotboat-hot-restart-/);
  expect(isSocketPathShort(`${elsewhere?.socketPath}${LONGEST_SOCKET_SUFFIX}`)).toBe(true);
});

test("hostile 1: what a killed agent left there is not in the way", async () => {
  await mkdir(join(folder, "etc/istio/proxy/hot-restart"), { recursive: true });
  await writeFile(join(folder, "etc/istio/proxy/hot-restart/e_parent_10"), "");
  await using place = await meet();
  expect(place?.socketPath).toBe("etc/istio/proxy/hot-restart/e");
  expect(await readdir(join(folder, "etc/istio/proxy/hot-restart"))).toEqual([]);
});

test.skipIf(!asRoot)("hostile 1: the folder belongs to the user that Envoy runs as", async () => {
  await using place = await meet({ DNS_PROXY_ADDR: "localhost:53" });
  const found = await stat(resolve(folder, place?.socketPath ?? "", ".."));
  expect({ uid: found.uid, gid: found.gid, mode: found.mode & 0o7777 }).toEqual({ uid: 1337, gid: 1337, mode: 0o700 });
});

test.skipIf(process.platform !== "linux")(
  "hostile 1: shared memory of another user, or a link, is not written",
  async () => {
    const id = newBaseId();
    const memory = `/dev/shm/envoy_shared_memory_${id}0`;
    const target = join(folder, "target");
    try {
      await writeFile(target, Buffer.alloc(104, 1));
      const { symlink, chown } = await import("node:fs/promises");
      await symlink(target, memory);
      await forgetFailedEpoch(id);
      expect(await readFile(target)).toEqual(Buffer.alloc(104, 1));
      await rm(memory);
      await writeFile(memory, Buffer.alloc(104, 1));
      if (asRoot) {
        await chown(memory, STRANGER, STRANGER);
        await forgetFailedEpoch(id);
        expect(await readFile(memory)).toEqual(Buffer.alloc(104, 1));
        await forgetFailedEpoch(id, STRANGER);
      } else await forgetFailedEpoch(id);
      expect((await readFile(memory)).subarray(96)).toEqual(Buffer.alloc(8));
    } finally {
      await rm(memory, { force: true });
    }
  },
);
