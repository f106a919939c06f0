import { execFile } from "node:child_process";
import { mkdirSync } from "node:fs";
import { chmod, chown, mkdir, symlink, writeFile } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { execPath } from "node:process";
import { promisify } from "node:util";
import { type RunningCommand, start } from "../support/pilotboat.ts";
import { childrenOf } from "../support/processes.ts";
import { type PlayedPod, type PodHost, playKubelet, type RunningContainer } from "./kubelet.ts";
import { NODE_ADDRESS, POD_ADDRESS, type PodNetwork, startNetwork } from "./pod-network.ts";
import { type Container, filesOf, type PodFacts, wordsOf } from "./pod-spec.ts";
import type { Unpacked } from "./unpacked-image.ts";

export interface PodOptions {
  /** A scratch folder of the pod's own; it is made. */
  readonly folder: string;
  readonly image: Unpacked;
  readonly pod: Omit<PodFacts, "address" | "nodeAddress">;
  readonly configMaps: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly token: string;
  /** `host:port` of istiod on this machine; in the pod it is istiod.istio-system.svc:15012. */
  readonly istiod: string;
  /** Arguments of `test/fixtures/pod-app.mjs` for a container that is not of our image. */
  readonly app?: readonly string[];
}

/** A pod that a kubelet of ours runs: the proxy's containers from its image, in namespaces of their own. */
export interface Pod extends PlayedPod, AsyncDisposable {
  readonly network: PodNetwork;
  command(container: string): RunningCommand;
  /** The process that the container's entrypoint became. */
  pidOf(container: string): number;
  /** As `kubectl exec`: its standard output; rejects when it fails. */
  exec(container: string, words: readonly string[]): Promise<string>;
}

/** Takes root, and a kernel that lets it make namespaces. Resolves when all containers are started. */
export async function startPod({ folder, image, pod, configMaps, token, istiod, app = [] }: PodOptions): Promise<Pod> {
  await mkdir(folder, { recursive: true });
  const facts: PodFacts = { ...pod, address: POD_ADDRESS, nodeAddress: NODE_ADDRESS };
  const network = await startNetwork(folder, istiod);
  const volumes = new Map<string, Laid>();
  for (const volume of pod.spec.volumes ?? []) {
    const files = filesOf(volume, facts, { configMaps, token });
    volumes.set(volume.name, await layVolume(files, join(folder, "volumes", volume.name)));
  }
  for (const { name, value } of pod.spec.securityContext?.sysctls ?? []) {
    const words = [`--net=/proc/${network.pid}/ns/net`, "--", "sysctl", "-w", `${name}=${value}`];
    await promisify(execFile)("nsenter", words);
  }
  const commands = new Map<string, RunningCommand>();
  const started = async (container: Container): Promise<Started> => {
    const enter = ["nsenter", `--net=/proc/${network.pid}/ns/net`, "--"];
    const isOurs = container.image.includes("/proxyv2:");
    const one = isOurs
      ? ourContainer({ container, facts, image, volumes, folder, enter })
      : { command: [...enter, execPath, resolve("test/fixtures/pod-app.mjs"), ...app], exec: undefined };
    const [file = "", ...words] = one.command;
    const command = start({ name: container.name, command: [file] }, words);
    commands.set(container.name, command);
    if (isOurs) await Promise.race([command.waitFor(ENTERED), command.ended]);
    return { command, exec: (line) => execIn(one.exec?.(command.pid) ?? enter, line) };
  };
  const running = new Map<string, Started>();
  const host: PodHost = {
    start: async (container): Promise<RunningContainer> => {
      const one = await started(container);
      running.set(container.name, one);
      return {
        ended: one.command.ended,
        exec: async (words) => void (await one.exec(words)),
        signal: (name) => process.kill(entrypointOf(one.command.pid), name),
      };
    },
    get: async (port, path, limitMs) => (await network.get(port, path, limitMs)).status,
  };
  const close = async () => {
    for (const command of commands.values()) await command[Symbol.asyncDispose]();
    await network[Symbol.asyncDispose]();
  };
  const named = (name: string): Started => {
    const found = running.get(name);
    if (found === undefined) throw new Error(`no container ${name} was started`);
    return found;
  };
  const fail = (cause: unknown): never => {
    const said = [...commands].map(([name, one]) => `${name}: ${one.stdout()}\n${one.stderr()}`);
    throw new Error(`The pod did not become ready:\n${said.join("\n")}`, { cause });
  };
  try {
    const played = await playKubelet(pod.spec, host);
    return {
      ...played,
      ready: played.ready.catch((error: unknown) => fail(error)),
      network,
      command: (name) => named(name).command,
      pidOf: (name) => entrypointOf(named(name).command.pid),
      exec: (name, words) => named(name).exec(words),
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await close();
    return fail(error);
  }
}

interface Started {
  readonly command: RunningCommand;
  exec(words: readonly string[]): Promise<string>;
}

/** Below nsenter and unshare; the first process of the container where it has a PID namespace. */
function entrypointOf(pid: number): number {
  return childrenOf(pid)[0] ?? pid;
}

async function execIn(enter: readonly string[], line: readonly string[]): Promise<string> {
  const [file = "", ...words] = [...enter, ...line];
  const { stdout } = await promisify(execFile)(file, words, { timeout: 90_000 });
  return stdout;
}

interface OurContainer {
  readonly container: Container;
  readonly facts: PodFacts;
  readonly image: Unpacked;
  readonly volumes: ReadonlyMap<string, Laid>;
  readonly folder: string;
  readonly enter: readonly string[];
}

/** The words that a container runtime starts a container of the image with, and those by which another program gets in. */
function ourContainer({ container, facts, image, volumes, folder, enter }: OurContainer) {
  const { securityContext: security = {}, volumeMounts = [], name } = container;
  const { env, command, args } = wordsOf(container, facts);
  const places = volumeMounts.flatMap((mount) => {
    const volume = volumes.get(mount.name);
    if (volume === undefined) throw new Error(`no volume ${mount.name}`);
    for (const { mountPath } of volumeMounts) {
      const inside = relative(mount.mountPath, mountPath); // a volume in a volume wants a folder there
      if (inside !== "" && !inside.startsWith("..")) mkdirSync(join(volume.host, inside), { recursive: true });
    }
    return [volume.host, mount.mountPath.replace("/var/run/", "/run/"), volume.mode];
  });
  const { uid, gid } = image.process.user;
  const user = `${security.runAsUser ?? uid}:${security.runAsGroup ?? gid}`;
  const added = (security.capabilities?.add ?? []).map((one) => `+${one.toLowerCase()}`);
  const bounding = ["-all", "+sys_chroot", "+setuid", "+setgid", ...added].join(",");
  const asUser = ["chroot", `--userspec=${user}`, "--groups=", image.root];
  const all = [...image.process.env, ...Object.entries(env).map(([key, value]) => `${key}=${value}`)];
  const entry = command.length > 0 ? command : image.process.args;
  const mode = security.readOnlyRootFilesystem === true ? "ro" : join(folder, "layers", name);
  return {
    command: [
      ...[...enter, "unshare", "--mount", "--pid", "--fork", "--kill-child"],
      ...["sh", "-euc", CONTAINER, "sh", image.root, mode, ...places, "--", ...all],
      ...["setpriv", "--no-new-privs", `--bounding-set=${bounding}`, ...asUser, ...entry, ...args],
    ],
    exec: (pid: number) => [
      ...["nsenter", "-t", String(entrypointOf(pid)), "--mount", "--net", "--pid", "--"],
      ...["env", "-i", ...all, ...asUser],
    ],
  };
}

/**
 * `ROOT MODE (HOST AT MODE)... -- NAME=VALUE... PROGRAM...`: what a container runtime does before it starts a process. The
 * first MODE is ro, or a folder for what is written.
 */
const CONTAINER = `
  root=$1; layers=$2; shift 2
  mount --make-rprivate /
  if [ "$layers" = ro ]; then
    mount --bind "$root" "$root"
  else
    mkdir -p "$layers"; mount -t tmpfs tmpfs "$layers"; mkdir "$layers/upper" "$layers/work"
    mount -t overlay overlay -o "lowerdir=$root,upperdir=$layers/upper,workdir=$layers/work" "$root"
  fi
  while [ "$1" != -- ]; do
    mount --bind -o "$3" "$1" "$root$2"; mount -o "remount,bind,$3" "$root$2"; shift 3
  done
  shift
  mount -t proc proc "$root/proc"
  mount -t tmpfs tmpfs "$root/dev"
  for one in null zero urandom random; do : > "$root/dev/$one"; mount --bind "/dev/$one" "$root/dev/$one"; done
  ln -s /proc/self/fd "$root/dev/fd"; ln -s fd/1 "$root/dev/stdout"; ln -s fd/2 "$root/dev/stderr"
  if [ "$layers" = ro ]; then mount -o remount,bind,ro "$root"; fi
  echo entered; exec env -i "$@"`;

const ENTERED = /^entered$/m;

interface Laid {
  readonly host: string;
  readonly mode: "ro" | "rw";
}

const PROXY_ID = 1337;

/** Files are laid as kubelet's atomic writer lays them; without files it is an emptyDir. */
async function layVolume(files: Readonly<Record<string, string>> | undefined, host: string): Promise<Laid> {
  await mkdir(host, { recursive: true });
  if (files === undefined) {
    await chmod(host, 0o777);
    return { host, mode: "rw" };
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
  return { host, mode: "ro" };
}
