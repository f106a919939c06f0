import { execFileSync, spawn } from "node:child_process";
import { chmod, chown, mkdir, symlink, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { connect, createServer } from "node:net";
import { dirname, join, resolve } from "node:path";
import { splitHostPort } from "../../src/base/index.ts";
import { type RunningCommand, start } from "../support/pilotboat.ts";
import { childrenOf } from "../support/processes.ts";
import type { Unpacked } from "./unpacked-image.ts";

/** A volume of a pod. Files are laid as kubelet's atomic writer lays them; without files it is an emptyDir. */
export interface Volume {
  readonly at: string;
  readonly files?: Readonly<Record<string, string>>;
}

export interface PodOptions {
  /** A scratch folder of the test's. */
  readonly folder: string;
  readonly image: Unpacked;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly volumes: readonly Volume[];
  /** `host:port` of istiod on this machine; in the pod it is istiod.istio-system.svc:15012. */
  readonly istiod: string;
}

/** The proxy container of a pod: its image in namespaces of its own, uid 1337, root read-only, no capability. */
export interface Pod extends AsyncDisposable {
  readonly command: RunningCommand;
  /** As the kubelet asks. Resolves with status 0 while nobody answers. */
  get(port: number, path: string): Promise<{ readonly status: number; readonly text: string }>;
  /** As an exec hook or `kubectl exec`: its standard output; rejects when it fails. */
  exec(words: readonly string[]): string;
}

const PROXY_ID = 1337;
const ISTIOD_PORT = 15_012;
const SHOWN_PORTS = [15_000, 15_020, 15_021, 15_090];

/** Takes root, and a kernel that lets it make namespaces. */
export async function startPod({ folder, image, args, env, volumes, istiod }: PodOptions): Promise<Pod> {
  const network = await startNetwork(folder, istiod);
  const mounts = await Promise.all(volumes.map((volume, at) => layVolume(volume, join(folder, "volumes", String(at)))));
  const { root, process: asBuilt } = image;
  const words = [...asBuilt.env, ...Object.entries(env).map(([name, value]) => `${name}=${value}`)];
  const all = Object.fromEntries(words.map((word) => word.split(/=(.*)/s, 2)));
  const asProxy = ["chroot", `--userspec=${PROXY_ID}:${PROXY_ID}`, "--groups=", root];
  const namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-euc", CONTAINER, "sh", root];
  const places = mounts.flatMap(({ host, at, mode }) => [host, at, mode]);
  const command = start(
    { name: "the image", command: ["nsenter", `--net=/proc/${network.pid}/ns/net`, ...namespaces] },
    [...[...places, "--", ...words], ...["setpriv", "--no-new-privs", ...asProxy], ...[...asBuilt.args, ...args]],
  );
  return {
    command,
    get: (port, path) => ask(join(folder, `in-${port}`), path),
    exec(line) {
      const [inside] = childrenOf(command.pid);
      const enter = ["-t", String(inside), "--mount", "--net", "--pid", "--", ...asProxy];
      return execFileSync("nsenter", [...enter, ...line], {
        encoding: "utf8",
        timeout: 30_000,
        stdio: "pipe",
        env: all,
      });
    },
    async [Symbol.asyncDispose]() {
      await command[Symbol.asyncDispose]();
      await network.close();
    },
  };
}

/** `ROOT (HOST AT MODE)... -- NAME=VALUE... PROGRAM...`: what a container runtime does before it starts a process. */
const CONTAINER = `
  root=$1; shift
  mount --make-rprivate /
  mount --bind "$root" "$root"
  while [ "$1" != -- ]; do
    mount --bind -o "$3" "$1" "$root$2"; mount -o "remount,bind,$3" "$root$2"; shift 3
  done
  shift
  mount -t proc proc "$root/proc"
  mount -t tmpfs tmpfs "$root/dev"
  for one in null zero urandom random; do : > "$root/dev/$one"; mount --bind "/dev/$one" "$root/dev/$one"; done
  ln -s /proc/self/fd "$root/dev/fd"; ln -s fd/1 "$root/dev/stdout"; ln -s fd/2 "$root/dev/stderr"
  mount -o remount,bind,ro "$root"
  exec env -i "$@"`;

async function layVolume({ at, files }: Volume, host: string) {
  await mkdir(host, { recursive: true });
  if (files === undefined) {
    await chmod(host, 0o777);
    return { host, at, mode: "rw" };
  }
  const moment = join(host, "..2026_01_01_00_00_00.1");
  await mkdir(moment);
  await symlink("..2026_01_01_00_00_00.1", join(host, "..data"));
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(moment, name)), { recursive: true });
    await writeFile(join(moment, name), text, { mode: 0o640 });
    await chown(join(moment, name), 0, PROXY_ID); // fsGroup
    await symlink(join("..data", name), join(host, name));
  }
  return { host, at, mode: "ro" };
}

async function startNetwork(folder: string, istiod: string) {
  const to = splitHostPort(istiod);
  if (typeof to === "string") throw new Error(to);
  const out = createServer((one) => {
    const other = connect(Number(to.port), to.host);
    one.pipe(other).on("error", () => one.destroy());
    other.pipe(one).on("error", () => other.destroy());
  });
  await new Promise<void>((done) => out.listen(join(folder, `out-${ISTIOD_PORT}`), done));
  const words = [resolve("test/fixtures/pod-network.mjs"), folder, String(ISTIOD_PORT), SHOWN_PORTS.join(",")];
  const child = spawn("unshare", ["--net", process.execPath, ...words], { stdio: ["ignore", "pipe", "inherit"] });
  const closed = new Promise<void>((done) => child.once("close", () => done()));
  await new Promise<void>((done, fail) => {
    child.stdout.once("data", () => done());
    child.once("close", (code) => fail(new Error(`the pod's network ended with ${code}`)));
  });
  return {
    pid: child.pid ?? 0,
    close: async () => {
      child.kill();
      out.close();
      await closed;
    },
  };
}

function ask(socketPath: string, path: string): Promise<{ status: number; text: string }> {
  return new Promise((done) => {
    const sent = request({ socketPath, path, headers: { host: "pod" } }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (piece: string) => {
        text += piece;
      });
      answer.on("error", () => done({ status: 0, text }));
      answer.on("end", () => done({ status: answer.statusCode ?? 0, text }));
    });
    sent.on("error", () => done({ status: 0, text: "" })).end();
  });
}
